"""How do many adapters serve from one backbone in one process? By name, each as a model over shared weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import final

from torch import Tensor

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError, nearest_hint
from robustpeft.pet.base import PETMethod
from robustpeft.pet.files import load_adapter, saved_classes
from robustpeft.pet.handle import AdapterHandle
from robustpeft.pet.sharing import share

__all__ = ["AdapterBank"]


@final
class AdapterBank:
    """Named adapters on one frozen backbone, each with its own head and classes.

    ``bank["birds"](images)`` needs no switching, so threads may call different adapters, or the same one, at a time.
    `use` names the one that ``bank(images)`` means.

    Args:
        model: The bare backbone on its device; not changed. Its weights must stay as they are from now on.
    """

    def __init__(self, model: ImageClassifier) -> None:
        self._backbone = share(model)
        self._models: dict[str, ImageClassifier] = {}
        self._active: str | None = None

    def add(
        self,
        name: str,
        adapter: str | Path | PETMethod,
        *,
        num_classes: int | None = None,
        seed: int = 0,
        trust: bool = False,
    ) -> AdapterHandle:
        """Attach an adapter under a name and return its handle.

        Args:
            name: Not yet in use.
            adapter: Directory of a saved adapter, or a technique to begin with.
            num_classes: Width of its head; by default that of the saved adapter, or of the backbone.
            seed: Of the initial values of a technique and of a new head.
            trust: Import the module of a saved technique that is not robustpeft's own.

        Raises:
            UserError: If the name is in use, or the adapter does not fit the backbone; the bank is as it was then.
        """
        if name in self._models:
            raise UserError(f"the bank has an adapter {name!r} already; remove it first")
        classes: tuple[str, ...] = ()
        if not isinstance(adapter, PETMethod):
            width, classes = saved_classes(self._backbone, adapter)
            num_classes = width if num_classes is None else num_classes
        model = share(self._backbone, num_classes=num_classes, seed=seed)
        if isinstance(adapter, PETMethod):
            handle = adapter.attach(model, seed=seed)
        else:
            handle = load_adapter(model, adapter, trust=trust)
            handle.train(False)
            model.classes = classes
        self._models[name] = model
        return handle

    def remove(self, name: str) -> None:
        """Forget an adapter; models that were taken from the bank go on working."""
        self[name]
        del self._models[name]
        if self._active == name:
            self._active = None

    def use(self, name: str) -> None:
        """Let ``bank(images)`` mean this adapter from now on."""
        self[name]
        self._active = name

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order in which they were added."""
        return tuple(self._models)

    @property
    def active(self) -> str | None:
        """The name of the adapter in use; None if none is."""
        return self._active

    def __getitem__(self, name: str) -> ImageClassifier:
        """Return the classifier of this name.

        Raises:
            UserError: If there is none; the message names the nearest.
        """
        if name not in self._models:
            raise UserError(f"the bank has no adapter {name!r}; {nearest_hint(name, self._models)}")
        return self._models[name]

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits of the adapter in use.

        Raises:
            UserError: If none is in use.
        """
        if self._active is None:
            raise UserError(f"no adapter is in use; bank.use one of {list(self._models)}, or call bank[name](images)")
        logits: Tensor = self._models[self._active](images)
        return logits

    def __contains__(self, name: object) -> bool:
        return name in self._models

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)
