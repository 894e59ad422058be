"""What may attacks, objectives and audits ask of a model? The protocols, and nothing of how a model fulfils them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

__all__ = ["Attackable", "Classifier", "Foldable", "gives_gradients"]


class Classifier(Protocol):
    """Maps images (b, 3, h, w) in [0, 1] to logits (b, k); normalisation and resizing happen inside."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """Return the logits."""
        ...


@runtime_checkable
class Attackable(Protocol):
    """A classifier that can show itself to an adversary without being touched."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """Return the logits."""
        ...

    def attack_view(self) -> Classifier:
        """Return a frozen twin in eval mode that shares this model's tensors; mergeable branches are folded."""
        ...

    def disabled(self) -> AbstractContextManager[None]:
        """Within the context the model answers as if nothing had been attached to it."""
        ...

    def features(self, images: Tensor) -> Tensor:
        """Return the embedding (b, d) that the head reads."""
        ...


@runtime_checkable
class Foldable(Protocol):
    """A module with an added branch that has a cheaper equal form while its parameters do not change."""

    def folded(self) -> object:
        """Return a module with the same outputs whose branch is folded into buffers of its own."""
        ...


def gives_gradients(model: Classifier) -> bool:
    """Return False if a part of the model says ``black_box = True`` of itself: it answers, but cannot be seen through.

    A model that hides its gradients without saying so is found out by the checks of an audit.
    """
    return not isinstance(model, nn.Module) or not any(getattr(part, "black_box", False) for part in model.modules())
