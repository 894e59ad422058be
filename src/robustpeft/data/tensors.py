"""How does a torch Dataset become a data set here? Its images are read once, as eight-bit RGB."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from robustpeft.data.decoding import BrokenImageError, to_rgb
from robustpeft.data.duplicates import duplicate_warnings
from robustpeft.data.identity import ids_of_names
from robustpeft.data.image_data import DataSource, ImageData
from robustpeft.data.partition import complete
from robustpeft.data.reading import read_images
from robustpeft.data.resizing import ImageSize, as_size, describe
from robustpeft.data.split import Split
from robustpeft.errors import UserError

__all__ = ["Tensors"]


@dataclass(frozen=True)
class Tensors(DataSource):
    """Map-style torch Datasets: ``len(d)``, and ``d[i]`` is (image, class number, ...).

    An image is a Pillow image, or a tensor (3 or 1, h, w), or an array (h, w, 3 or 1) or (h, w); uint8, or floating
    point in [0, 1], which is rounded to steps of 1/255. Augmentation belongs to training, not to the Dataset: each
    image is read once and kept. An image's id is a hash of its split and index.

    Args:
        train: The Dataset to tune on; None if there is none.
        validation: Likewise; None to take 15 % of train, stratified.
        test: Likewise; None to take 20 % of train, stratified.
        classes: Class names; None for the Dataset's own ``classes``, or else numbers.
        name: What the data set is called.
        seed: Seed of a split that has to be made.
        search_copies: Look for copies across splits and warn of them.
    """

    train: Any = None
    validation: Any = None
    test: Any = None
    classes: tuple[str, ...] | None = None
    name: str = "tensors"
    seed: int = 0
    search_copies: bool = True

    def load(self, image_size: ImageSize = None) -> ImageData:
        """Return the data set.

        Raises:
            UserError: If an item is not an image with a class number, or is out of range, an image cannot be read,
                a class is too small to split, or images differ in size and no size was asked for.

        Cost:
            Every image is read once; twice if the Dataset does not show its labels as ``targets`` or ``labels``.
        """
        size = as_size(image_size)
        given = {"train": self.train, "validation": self.validation, "test": self.test}
        splits = {key: _split(value, key, size) for key, value in given.items() if value is not None}
        train, validation, test = complete(
            splits.get("train"), splits.get("validation"), splits.get("test"), seed=self.seed
        )
        whole = {"train": train, "validation": validation, "test": test}
        classes = self.classes or next((_classes(v) for v in given.values() if v is not None and _classes(v)), ())
        note = ""
        if not classes:
            classes = tuple(str(c) for c in range(1 + max(int(s.labels.max()) for s in splits.values())))
            note = "no class names were given; classes are called by their numbers"
        warnings = duplicate_warnings(whole) if self.search_copies else ()
        return ImageData(self.name, tuple(classes), train, validation, test, note, describe(size), warnings)


def _split(dataset: Any, split: str, size: tuple[int, int] | None) -> Split:
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise UserError(f"{split}: expected a map-style torch Dataset with len() and [i]; got {type(dataset).__name__}")
    if not len(dataset):
        raise UserError(f"{split}: the Dataset is empty")
    names = [f"{split} image {i}" for i in range(len(dataset))]
    labels = _known_labels(dataset)
    if labels is None:
        labels = [_label(_item(dataset, i, names[i]), names[i]) for i in range(len(dataset))]
    # One thread: a Dataset of one's own need not bear several readers.
    reading = read_images(lambda i: _as_pil(_item(dataset, i, names[i])[0], names[i]), names, size, threads=1)
    ids = ids_of_names(f"{split}/{i}" for i in range(len(dataset)))
    return Split(reading.store, reading.rows, torch.tensor(labels, dtype=torch.int64), ids)


def _item(dataset: Any, index: int, name: str) -> Sequence[Any]:
    item = dataset[index]
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise UserError(f"{name}: expected (image, class number); got {type(item).__name__}")
    return item


def _label(item: Sequence[Any], name: str) -> int:
    try:
        return operator.index(item[1])
    except TypeError as error:
        raise UserError(f"{name}: its label must be a class number; got {type(item[1]).__name__}") from error


def _known_labels(dataset: Any) -> list[int] | None:
    """Return the labels that the Dataset shows without decoding an image; None if it does not show them."""
    if getattr(dataset, "target_transform", None) is not None:
        return None
    for attribute in ("targets", "labels", "_labels"):
        values = getattr(dataset, attribute, None)
        if isinstance(values, Tensor | np.ndarray | list | tuple) and len(values) == len(dataset):
            try:
                return [operator.index(value) for value in values]
            except TypeError:
                continue
    return None


def _classes(dataset: Any) -> tuple[str, ...]:
    values = getattr(dataset, "classes", None)
    # ImageNet's entries are tuples of synonyms.
    return tuple(v if isinstance(v, str) else ", ".join(map(str, v)) for v in values) if values else ()


def _as_pil(image: Any, name: str) -> Image.Image:
    if isinstance(image, Image.Image):
        return to_rgb(image)
    if isinstance(image, Tensor):
        array = image.detach().cpu().numpy()
        array = array.transpose(1, 2, 0) if array.ndim == 3 else array
    else:
        array = np.asarray(image)
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise UserError(f"{name}: expected 3 or 1 channels, (3, h, w) as a tensor or (h, w, 3); got {image.shape}")
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):
            raise UserError(
                f"{name}: floating-point images must lie in [0, 1]; found [{low:.4g}, {high:.4g}] "
                "(normalisation belongs into the model)"
            )
        array = np.round(array * 255.0).astype(np.uint8)
    if array.dtype != np.uint8:
        raise BrokenImageError(f"pixels of type {array.dtype}; expected uint8 or floating point in [0, 1]")
    return Image.fromarray(np.ascontiguousarray(array)).convert("RGB")
