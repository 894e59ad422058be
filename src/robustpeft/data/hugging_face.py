"""How does a data set of the Hugging Face hub become a data set here? Through the optional `datasets` package."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from robustpeft.data.image_data import DataSource, ImageData
from robustpeft.data.resizing import ImageSize
from robustpeft.data.tensors import Tensors
from robustpeft.errors import UserError, nearest_hint

__all__ = ["HuggingFace"]

_SPLIT_WORDS = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


@dataclass(frozen=True)
class HuggingFace(DataSource):
    """A data set with an image column and a class column.

    Missing splits are taken out of train as for `Tensors`; where only train and validation are published, the
    published validation split is the test split here, and the note says so.

    Args:
        name: ``user/name`` on the hub.
        config: Configuration of the data set; None for its default.
        revision: Commit, tag or branch; None for the newest.
        columns: Names of the image column and of the label column; None for the first image and the first class label.
        seed: Seed of a split that has to be made.
    """

    name: str
    config: str | None = None
    revision: str | None = None
    columns: tuple[str, str] | None = None
    seed: int = 0

    def load(self, image_size: ImageSize = None) -> ImageData:
        """Return the data set.

        Raises:
            UserError: If `datasets` is not installed, the data set cannot be had, or it has no such columns.
        """
        try:
            package = importlib.import_module("datasets")
        except ImportError as error:
            raise UserError(
                f"hf/{self.name} needs the package 'datasets': pip install 'robustpeft[datasets]' ({error})"
            ) from error
        try:
            published: Mapping[str, Any] = package.load_dataset(self.name, self.config, revision=self.revision)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"the Hugging Face data set {self.name!r} cannot be had: {error}") from error
        found = {
            split: next((published[word] for word in words if word in published), None)
            for split, words in _SPLIT_WORDS.items()
        }
        note = f"Hugging Face {self.name}"
        if found["test"] is None and found["validation"] is not None:
            found = {"train": found["train"], "validation": None, "test": found["validation"]}
            note += "; test is the published validation split"
        if all(dataset is None for dataset in found.values()):
            raise UserError(f"{self.name} has the splits {', '.join(published)}; expected train, validation or test")
        train, validation, test = (
            None if found[split] is None else _Pairs.of(found[split], self.columns, self.name) for split in _SPLIT_WORDS
        )
        data = Tensors(train, validation, test, name=self.name, seed=self.seed).load(image_size)
        return replace(data, note="; ".join(part for part in (note, data.note) if part))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """A split as (image, class number) pairs."""

    dataset: Any
    columns: tuple[str, str]
    targets: list[int]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Any, columns: tuple[str, str] | None, name: str) -> _Pairs:
        features: Mapping[str, Any] = dataset.features
        if columns is None:
            kinds = {kind: [c for c, f in features.items() if type(f).__name__ == kind] for kind in _KINDS}
            if not all(kinds.values()):
                raise UserError(
                    f"{name} has the columns {', '.join(features)}, but not both an image and a class label among "
                    "them by type; name them with columns=(image, label)"
                )
            columns = kinds["Image"][0], kinds["ClassLabel"][0]
        for column in columns:
            if column not in features:
                raise UserError(f"{name} has no column {column!r}; {nearest_hint(column, features)}")
        names = getattr(features[columns[1]], "names", None) or ()
        return cls(dataset, columns, list(dataset[columns[1]]), tuple(names))

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.dataset[index][self.columns[0]], self.targets[index]


_KINDS = ("Image", "ClassLabel")
