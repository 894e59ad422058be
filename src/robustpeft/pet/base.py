"""What is a parameter-efficient technique? A value that says what is added to a network, and what of it is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.handle import AdapterHandle
from robustpeft.pet.inserts import Insert
from robustpeft.types import Companion

if TYPE_CHECKING:
    from robustpeft.pet.combined import Combined

__all__ = ["PETMethod"]


@dataclass(frozen=True)
class PETMethod(ABC):
    """A technique with its hyper-parameters; it holds no model.

    Attributes:
        identity_at_start: Attaching leaves the logits unchanged until the first step.
        mergeable: What it adds can be folded into the frozen weights.
    """

    identity_at_start: ClassVar[bool] = True
    mergeable: ClassVar[bool] = False

    @abstractmethod
    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return new modules by the path of the leaf they stand for; the model is not changed.

        Each new module keeps the leaf's own parameters under their own names; initial values are drawn from `seed`.
        """

    def inserts(self, model: ImageClassifier, seed: int) -> list[Insert]:
        """Return new modules that run between layers; none by default, and the model is not changed."""
        return []

    def companion(self, model: ImageClassifier) -> Companion | None:
        """Return what it does beside the optimiser while it is trained on `model`; None by default.

        Args:
            model: This technique is attached to it.
        """
        return None

    @abstractmethod
    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return the names of existing parameters of the network that are trained too, besides the head."""

    @abstractmethod
    def count(self, model: ImageClassifier) -> int:
        """Return the number of trained parameters without the head, by closed form."""

    @final
    def attach(self, model: ImageClassifier, *, seed: int = 0) -> AdapterHandle:
        """Add this technique to `model`, in place, freeze the rest, and return the handle that undoes it.

        Args:
            model: From `load_backbone` or `wrap`; nothing may be attached to it yet.
            seed: Of the initial values.

        Raises:
            UserError: If something is attached already, or the technique does not fit the network.
        """
        if not isinstance(model, ImageClassifier):
            raise UserError(
                f"attach takes a model from rp.load_backbone or rp.wrap; got {type(model).__name__}: rp.wrap it first"
            )
        if model.attachments:
            there = ", ".join(repr(getattr(a, "method", a)) for a in model.attachments)
            raise UserError(f"{self!r} cannot be attached: the model already carries {there}; detach it first")
        if model.seams is not None and not model.seams.heads:
            raise UserError(f"{model.name} has no classification head; load it with num_classes")
        return AdapterHandle(self, model, self.modules(model, seed), self.inserts(model, seed), self.thawed(model))

    @final
    def __add__(self, other: PETMethod) -> Combined:
        """Return the technique that does both."""
        from robustpeft.pet.combined import Combined

        return Combined((self, other))
