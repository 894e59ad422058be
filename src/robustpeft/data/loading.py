"""Where do images come from? One table of sources, and the words a person types for them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from robustpeft.data.digits import Digits
from robustpeft.data.folder import Folder
from robustpeft.data.hugging_face import HuggingFace
from robustpeft.data.image_data import DataSource, ImageData
from robustpeft.data.parquet import Parquet
from robustpeft.data.resizing import ImageSize
from robustpeft.data.tensors import Tensors
from robustpeft.data.torchvision import Torchvision
from robustpeft.data.vtab import Vtab
from robustpeft.errors import UserError, nearest_hint
from robustpeft.types import look_up

__all__ = ["DATASETS", "DataSpec", "as_source", "load_data"]

DATASETS: Mapping[str, type[DataSource]] = {
    "digits": Digits,
    "folder": Folder,
    "parquet": Parquet,
    "torch": Torchvision,
    "hf": HuggingFace,
    "tensors": Tensors,
    "vtab": Vtab,
}
"""Every source of images by name. A value of one of these classes is all that a recipe says about data."""

DataSpec = str | Path | Sequence[str | Path] | Mapping[str, Dataset[Any]] | Dataset[Any] | DataSource | ImageData
_SPLITS = ("train", "validation", "test")


def load_data(spec: DataSpec, *, image_size: ImageSize = None, seed: int = 0) -> ImageData:
    """Return the data set that `spec` stands for.

    Args:
        spec: ``digits``; ``torch/NAME``; ``hf/USER/NAME``; a folder; a Parquet file, a pattern or a list of these;
            ``package.module:Class``; a source such as ``Folder(...)``; a torch Dataset, or up to three of them by the
            names ``train``, ``validation``, ``test``; data that is loaded already.
        image_size: Side of a square or (height, width) in pixels; None for the size the images have.
        seed: Seed of a split that has to be made. A source has its own, and the split of the digits is fixed.

    Raises:
        UserError: If there is no such data, or it cannot be used.
    """
    if isinstance(spec, ImageData):
        return _as_loaded(spec, image_size)
    source = as_source(spec, seed=seed)
    data = source.load(image_size)
    if not isinstance(data, ImageData):
        raise UserError(f"{type(source).__name__}.load must return ImageData; it returned {type(data).__name__}")
    return data


def as_source(spec: Any, *, seed: int = 0) -> DataSource:
    """Return the source that `spec` stands for, without loading anything; arguments as for `load_data`.

    Raises:
        UserError: If it stands for none, or a seed is given beside a source that has its own.
    """
    if isinstance(spec, DataSource) and not isinstance(spec, type):
        if seed:
            raise UserError(f"seed={seed} beside {type(spec).__name__}(...): give the seed of the split to the source")
        return spec
    if isinstance(spec, Mapping):
        unknown = [key for key in spec if key not in _SPLITS]
        if unknown or not spec:
            raise UserError(f"expected torch Datasets by the names {', '.join(_SPLITS)}; got {list(spec)}")
        return Tensors(**spec, seed=seed)
    if isinstance(spec, Dataset):
        return Tensors(spec, seed=seed)
    if isinstance(spec, str | os.PathLike):
        return _from_words(os.fspath(spec), seed)
    if isinstance(spec, Sequence) and spec and all(isinstance(entry, str | os.PathLike) for entry in spec):
        return Parquet(tuple(os.fspath(entry) for entry in spec), seed=seed)
    raise UserError(f"data must be a name, a path, a source or a torch Dataset; got {type(spec).__name__}")


def _from_words(words: str, seed: int) -> DataSource:
    prefix, _, rest = words.partition("/")
    path = Path(words).expanduser()
    if words == "digits":
        if seed:
            raise UserError(f"the split of the digits is fixed; it has no seed (got {seed})")
        return Digits()
    if prefix == "torch" and rest:
        return Torchvision(rest, seed=seed)
    if prefix == "hf" and rest:
        return HuggingFace(rest, seed=seed)
    if path.is_dir():
        return Folder(words, seed=seed)
    if path.suffix == ".parquet":
        return Parquet(words, seed=seed)
    if ":" in words and "/" not in words:
        return _own(words)
    if path.exists():
        raise UserError(f"{words} is neither a folder of images nor a Parquet file")
    known = ("digits", "torch/cifar10", "torch/cifar100")
    raise UserError(
        f"no data {words!r}: neither a folder or Parquet file, nor one of digits, torch/NAME, hf/USER/NAME, "
        f"package.module:Class; {nearest_hint(words, known)}"
    )


def _own(words: str) -> DataSource:
    cls = look_up(DATASETS, words, "data source")
    try:
        source = cls()
    except TypeError as error:
        raise UserError(f"{words} needs arguments ({error}); give a value of it instead of its name") from error
    if not isinstance(source, DataSource):
        raise UserError(f"{words} is no data source: it has no load(image_size)")
    return source


def _as_loaded(data: ImageData, image_size: ImageSize) -> ImageData:
    wanted = (image_size, image_size) if isinstance(image_size, int) else image_size
    if wanted is not None and tuple(wanted) != data.image_size:
        height, width = data.image_size
        raise UserError(f"{data.name} was loaded at {height}x{width} pixels, but image_size={image_size} is needed")
    return data
