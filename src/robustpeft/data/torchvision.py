"""How does one of torchvision's data sets become a data set here? By its name, downloaded if need be."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robustpeft.data.image_data import DataSource, ImageData
from robustpeft.data.resizing import ImageSize
from robustpeft.data.tensors import Tensors
from robustpeft.errors import UserError, nearest_hint

__all__ = ["Torchvision"]

_SPLIT_WORDS = {
    "train": ("train", "trainval"),
    "validation": ("val", "valid", "validation"),
    "test": ("test",),
}


@dataclass(frozen=True)
class Torchvision(DataSource):
    """A classification data set of ``torchvision.datasets``.

    Its test split is the test split; its validation split, if it has one, the validation split, otherwise 15 % of
    train, stratified and fixed by the seed. Where only train and validation are published (ImageNet), the published
    validation split is what everybody reports, so it is the test split here, and the note says so.

    Args:
        name: The class in any case: ``cifar10``, ``cifar100``, ``svhn``, ``food101``, ...
        root: Where its files lie or are put.
        seed: Seed of a split that has to be made.
        download: Fetch what is missing.
    """

    name: str
    root: str = "~/.cache/robustpeft/torchvision"
    seed: int = 0
    download: bool = True

    def load(self, image_size: ImageSize = None) -> ImageData:
        """Return the data set.

        Raises:
            UserError: If torchvision has no such data set, its files are missing and cannot be fetched, or it is not
                one for classification.
        """
        build = self._class()
        found = {split: self._open(build, split, words) for split, words in _SPLIT_WORDS.items()}
        note = ""
        if found["test"] is None and found["validation"] is not None:
            found = {"train": found["train"], "validation": None, "test": found["validation"]}
            note = "test is the published validation split; validation is taken out of train"
        if found["train"] is None:
            raise UserError(f"torchvision's {build.__name__} has no train split that is known here")
        source = Tensors(**found, name=build.__name__, seed=self.seed, search_copies=False)
        data = source.load(image_size)
        return replace(data, note="; ".join(part for part in (note, data.note) if part))

    def _class(self) -> Callable[..., Any]:
        from torchvision import datasets

        names = {name.lower(): name for name in datasets.__all__}
        if self.name.lower() not in names:
            raise UserError(f"torchvision has no data set {self.name!r}; {nearest_hint(self.name, names)}")
        chosen: Callable[..., Any] = getattr(datasets, names[self.name.lower()])
        return chosen

    def _open(self, build: Callable[..., Any], split: str, words: tuple[str, ...]) -> Any:
        """Return one split of the data set; None if it has no such split."""
        accepted = inspect.signature(build).parameters
        root = Path(self.root).expanduser()
        arguments: dict[str, Any] = {"root": str(root), "download": self.download}
        arguments = {key: value for key, value in arguments.items() if key in accepted}
        if "train" in accepted:
            choices: list[dict[str, Any]] = [{"train": split == "train"}] if split != "validation" else []
        elif "split" in accepted:
            choices = [{"split": word} for word in words]
        else:
            choices = [{}] if split == "train" else []
        if choices and "root" in accepted:
            root.mkdir(parents=True, exist_ok=True)
        for choice in choices:
            try:
                return build(**arguments, **choice)
            except ValueError:
                continue  # torchvision's answer to a split it does not have
            except (OSError, RuntimeError, ImportError) as error:
                raise UserError(f"torchvision's {build.__name__} cannot be read from {root}: {error}") from error
        return None
