"""What is a data set here? Three splits that stay three, class names, and what a reader must know of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from robustpeft.data.augment import Augment
from robustpeft.data.resizing import ImageSize
from robustpeft.data.split import Split
from robustpeft.errors import UserError
from robustpeft.types import check_labels

__all__ = ["DataSource", "ImageData"]


@final
@dataclass(frozen=True, eq=False)
class ImageData:
    """Images to tune with, to choose with, and to judge with.

    Args:
        name: The data set.
        classes: Class names; label i is entry i.
        train: What parameters are tuned on.
        validation: What models and settings are chosen on.
        test: What is read once, at the end.
        note: What a reader must know of this data.
        preprocessing: What was done to every image, in words.
        warnings: What may be wrong with it, one sentence each.
        default_augment: The variation that suits these images in training.

    Raises:
        UserError: If a label has no class name, or nothing is there.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    note: str = ""
    preprocessing: str = "as stored"
    warnings: tuple[str, ...] = ()
    default_augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        sizes = {split.store.size for split in self.splits.values() if len(split)}
        if not sizes:
            raise UserError(f"{self.name} has no images")
        if len(sizes) > 1:
            found = ", ".join(f"{height}x{width}" for height, width in sorted(sizes))
            raise UserError(f"the splits of {self.name} have images of different size ({found}); give image_size")
        for split_name, split in self.splits.items():
            try:
                check_labels(split.labels, num_classes=len(self.classes))
            except UserError as error:
                names = f"the {len(self.classes)} class names given or stored"
                raise UserError(f"{self.name}, {split_name}: {error}; they do not match {names}") from error

    @property
    def splits(self) -> Mapping[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of every image, in pixels."""
        return next(split.store.size for split in self.splits.values() if len(split))


@dataclass(frozen=True)
class DataSource(ABC):
    """A frozen value that says where images come from."""

    @abstractmethod
    def load(self, image_size: ImageSize = None) -> ImageData:
        """Return the data set, its images fitted to `image_size` (None: the size they have)."""
