"""In which order is what trained? First the phases that come before, the head alone for example, then the main one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from robustpeft.errors import UserError
from robustpeft.training.schedules import EpsilonRamp

__all__ = ["Phase"]


@dataclass(frozen=True)
class Phase:
    """A part of tuning with an optimiser of its own; the next one begins from the weights that it ends with.

    ``Phase(epochs=10)`` is adversarial linear probing, after which the adapter starts from a head that knows the
    adversary; ``Phase(epochs=10, trains="all", objective="natural")`` tunes naturally on the task first. The schedules
    begin anew in each phase. No epoch of a phase before the main one is ever kept as the result.

    Args:
        epochs: Passes over the training images, at least 1.
        trains: ``head`` alone, or ``all`` that the technique trains.
        objective: ``same`` as the main phase, or ``natural``.
        learning_rate: Peak rate; None for that of the plan. `head_rate` and `norm_rate` of the plan apply to it.
        optimizer: ``adamw`` or ``sgd``; None for that of the plan.
        epsilon_ramp: The threat over the course of this phase; the full epsilon throughout by default.

    Source:
        Head first: Hua et al. 2024, arXiv:2312.05716 (RoLI: 10 of 20 epochs, SGD for the head).
    """

    epochs: int = 1
    trains: Literal["head", "all"] = "head"
    objective: Literal["same", "natural"] = "same"
    learning_rate: float | None = None
    optimizer: Literal["adamw", "sgd"] | None = None
    epsilon_ramp: EpsilonRamp = field(default_factory=lambda: EpsilonRamp(0.0, 0.0))

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise UserError(f"a phase needs at least 1 epoch; got {self.epochs}")
        choices = {
            "trains": ("head", "all"),
            "objective": ("same", "natural"),
            "optimizer": ("adamw", "sgd", None),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"{name} of a phase must be one of {allowed}; got {getattr(self, name)!r}")
        rate = self.learning_rate
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise UserError(f"learning_rate of a phase must be positive and finite; got {rate}")

    @property
    def title(self) -> str:
        """What a person calls it: ``head``, ``natural``, ``natural head`` or ``tuning``."""
        words = [self.objective] * (self.objective == "natural") + ["head"] * (self.trains == "head")
        return " ".join(words) or "tuning"
