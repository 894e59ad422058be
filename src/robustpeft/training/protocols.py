"""What does training need of a model, and what does it tell? Nothing that knows a technique."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from robustpeft.types import Classifier, Companion

__all__ = ["Observer", "Progress", "Tunable", "classifier"]


class Tunable(Protocol):
    """A model of which something is trained."""

    @property
    def model(self) -> nn.Module:
        """The classifier."""
        ...

    @property
    def companion(self) -> Companion | None:
        """What goes on beside the optimiser; None if nothing."""
        ...

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Return what is trained, by name."""
        ...

    def is_head(self, name: str) -> bool:
        """Return whether a trained parameter belongs to the classification head."""
        ...

    def train(self, mode: bool = True) -> None:
        """Put what is trained into training mode, or everything into eval mode."""
        ...


@dataclass(frozen=True)
class Progress:
    """Where tuning stands.

    Args:
        step: Steps done.
        steps: Steps in all.
        epoch: The epoch it is in, from 1.
        epochs: Epochs in all.
        loss: Mean over the epoch so far.
        epsilon: Radius of the threat now.
        clean_accuracy: On the validation images, when last looked at; None before.
        robust_accuracy: Likewise under the selection attack; None before, and for objectives without an adversary.
        images_per_second: Since the start of this run.
        seconds_left: Estimate.
        phase: Which phase, where there are several; empty otherwise.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    epsilon: float
    clean_accuracy: float | None
    robust_accuracy: float | None
    images_per_second: float
    seconds_left: float
    phase: str = ""


Observer = Callable[[Progress], None]


def classifier(tunable: Tunable) -> Classifier:
    """Return the tunable's model as what attacks call."""
    return tunable.model
