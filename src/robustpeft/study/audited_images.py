"""Which images is a model judged on? Test images at its own size; what was done to them before is said."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from robustpeft.backbones import ImageClassifier
from robustpeft.data import DataSource, ImageData, Parquet, cropped, load_data
from robustpeft.errors import UserError

__all__ = ["load_test_images", "steps_outside"]

_log = logging.getLogger(__name__)


def load_test_images(data: Any, model: ImageClassifier, crop: float | None = None) -> ImageData:
    """Return the data to audit on; what comes as one torch data set or Parquet file is all taken as test images.

    Args:
        data: As for `tune`.
        model: Says the size.
        crop: Share of each side that is left when the centre is cut out, in (0, 1]; None for all of it.

    Raises:
        UserError: If the images cannot be read, or the model says no size that could be cut out.
    """
    size = model.image_size
    if crop not in (None, 1):
        if size is None:
            raise UserError("a crop needs an image size, which the model does not say; give --image-size")
        assert crop is not None
        whole = (round(size[0] / crop), round(size[1] / crop))
        return cropped(_loaded(data, whole), size)
    return _loaded(data, size)


def _loaded(data: Any, size: tuple[int, int] | None) -> ImageData:
    if isinstance(data, ImageData):
        return data
    if isinstance(data, Dataset):
        data = {"test": data}
    elif isinstance(data, str | Path) and str(data).endswith(".parquet"):
        data = Parquet(test=str(data))
    images = load_data(data, image_size=size)
    put_aside = len(images.train) + len(images.validation)
    if put_aside and not isinstance(data, DataSource):
        _log.warning(
            "%s: the %d test images are used, %d train and validation images are put aside; if all of it is test data, "
            "put the class folders into a folder named test",
            images.name,
            len(images.test),
            put_aside,
        )
    return images


def steps_outside(images: ImageData) -> tuple[str, ...]:
    """Return what was done to every image before epsilon is imposed: no adversary of the audit reaches behind it."""
    return ("decoded to 8-bit RGB, turned upright by EXIF where there is any", images.preprocessing)
