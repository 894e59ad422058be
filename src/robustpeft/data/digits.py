"""Which images come with the package? Scikit-learn's 1,797 handwritten digits.

Source: Alpaydin and Kaynak 1998, "Optical recognition of handwritten digits", UCI Machine Learning Repository: each
pixel of the 8x8 images counts the inked ones (0 to 16) of a 4x4 block of a 32x32 bitmap.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from robustpeft.data.augment import Augment
from robustpeft.data.identity import ids_of_names
from robustpeft.data.image_data import DataSource, ImageData
from robustpeft.data.image_store import InMemory
from robustpeft.data.partition import partition
from robustpeft.data.resizing import ImageSize, as_size
from robustpeft.data.split import Split

__all__ = ["Digits"]

_SHARES = (0.6, 0.2, 0.2)
_SIZE = (16, 16)


@dataclass(frozen=True)
class Digits(DataSource):
    """The digits 0 to 9, 60 % train, 20 % validation, 20 % test.

    The split is fixed and has no seed: the bundled ViT has seen this training split.
    """

    def load(self, image_size: ImageSize = None) -> ImageData:
        """Return the data set; 16x16 pixels if no size is asked for.

        Bilinear: a stroke's edge stays an edge, whereas nearest neighbours would add steps that no pen makes. Counts
        become ``round(255 * count / 16)``, in three equal channels.
        """
        size = as_size(image_size) or _SIZE
        inked, labels = _read()
        counts = inked[:, None] / 16.0
        resized = functional.interpolate(counts, size, mode="bilinear", antialias=True)
        pixels = (resized.clamp(0, 1) * 255.0).round().byte().expand(-1, 3, -1, -1).contiguous()
        names = [f"digit {i}" for i in range(len(labels))]
        ids = ids_of_names(names)
        part = partition(labels, ids, _SHARES, seed=0)
        everything = Split(InMemory(pixels, names), torch.arange(len(labels)), labels, ids)
        train, validation, test = (everything.subset((part == i).nonzero().flatten()) for i in range(3))
        return ImageData(
            name="digits",
            classes=tuple("0123456789"),
            train=train,
            validation=validation,
            test=test,
            note="scikit-learn's 1,797 handwritten digits, 8x8, enlarged",
            preprocessing=f"8x8 to {size[0]}x{size[1]}, bilinear, three equal channels",
            default_augment=Augment(flip=False, padding="zero"),
        )


def _read() -> tuple[Tensor, Tensor]:
    """Return counts of inked pixels, float (n, 8, 8) in [0, 16], and labels (n,).

    The file that scikit-learn brings is read without importing it: SciPy with it takes longer than all digits.
    """
    package = importlib.util.find_spec("sklearn")
    folder = Path(package.origin).parent if package is not None and package.origin else Path()
    file = folder / "datasets" / "data" / "digits.csv.gz"
    if not file.is_file():  # another version keeps it elsewhere, and knows where
        from sklearn.datasets import load_digits

        bunch = load_digits()
        return torch.from_numpy(bunch.images).float(), torch.from_numpy(bunch.target).long()
    table = torch.from_numpy(np.loadtxt(file, delimiter=",", dtype=np.uint8))
    return table[:, :-1].reshape(-1, 8, 8).float(), table[:, -1].long()
