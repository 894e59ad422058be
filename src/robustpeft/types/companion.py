"""What may a technique do beside the optimiser? Add to the loss, act after every step, and remember."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

__all__ = ["Companion"]


class Companion(Protocol):
    """The part of a technique that trains by rules of its own, such as one that moves rank between layers."""

    def penalty(self) -> Tensor:
        """Return a scalar that is added to the loss of every step, differentiable in what is trained."""
        ...

    def after_step(self, done: int, of: int) -> None:
        """Act on what is trained, the optimiser having moved it; its gradients are still there.

        Args:
            done: Steps done, this one included; from 1.
            of: Steps in all.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """Return all that the next step depends on, by name."""
        ...

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        ...
