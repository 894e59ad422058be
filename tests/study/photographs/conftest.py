import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    """24 photographs in two classes, none like another."""
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            blocks = np.random.default_rng(100 * number + i).integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(blocks).resize((40, 30), Image.Resampling.BICUBIC).save(
                tmp_path / "photos" / name / f"{i}.png"
            )
    return tmp_path / "photos"
