import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def picture(seed: int, height: int = 12, width: int = 12) -> Image.Image:
    """A smooth random picture: neighbouring pixels agree, different seeds do not."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


@pytest.fixture
def make_picture() -> Callable[..., Image.Image]:
    return picture


@pytest.fixture
def encoded() -> Callable[[int], bytes]:
    def encode(seed: int) -> bytes:
        buffer = io.BytesIO()
        picture(seed).save(buffer, "PNG")
        return buffer.getvalue()

    return encode


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write class folders of different pictures; counts by folder, for example {"train/cat": 3}."""

    def make(counts: dict[str, int], name: str = "photos") -> Path:
        root = tmp_path / name
        seed = 0
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True)
            for i in range(count):
                seed += 1
                picture(seed).save(root / folder / f"{i}.png")
        return root

    return make
