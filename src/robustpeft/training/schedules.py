"""What changes over the course of tuning? The radius of the threat, the steps of the attack, the learning rate.

Each is a function of the share of a phase's steps that are done, so a schedule means the same at any number of epochs.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from robustpeft.attacks import Attack
from robustpeft.errors import UserError
from robustpeft.objectives import Objective

__all__ = ["AttackRamp", "EpsilonRamp", "rate_factor", "with_attack_steps"]


@dataclass(frozen=True)
class EpsilonRamp:
    """The threat over the course of tuning: 0 until `start`, then linearly up to the full epsilon at `end`.

    From a standard-trained backbone the full epsilon from the first step collapses to a constant prediction
    (docs/decisions/0001). ``start=0, end=0`` gives the full epsilon throughout.

    Args:
        start: Share of all steps, in [0, 1].
        end: Share of all steps, in [start, 1].

    Source:
        Ngnawe et al. 2025, arXiv:2509.23325 (T1 = 12 and T2 = 37 of 50 epochs).
    """

    start: float = 0.0
    end: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end <= 1:
            raise UserError(f"an epsilon ramp needs 0 <= start <= end <= 1; got start {self.start}, end {self.end}")

    def factor(self, progress: float) -> float:
        """Return epsilon now as a share of the full epsilon, at `progress` in [0, 1]."""
        if progress >= self.end:
            return 1.0
        if progress < self.start:
            return 0.0
        return (progress - self.start) / (self.end - self.start)


@dataclass(frozen=True)
class AttackRamp:
    """The attack's steps over the course of tuning: from `first` up to the objective's own number at `end`.

        steps = first + floor((own - first) progress / end)

    Few steps are enough while the model is weak and epsilon small, and they are what a step of tuning costs.

    Args:
        first: Steps at the beginning, at least 1.
        end: Share of all steps, in [0, 1]; from there on the objective's own number.
    """

    first: int = 1
    end: float = 0.5

    def __post_init__(self) -> None:
        if self.first < 1 or not 0 <= self.end <= 1:
            raise UserError(f"an attack ramp needs first >= 1 and end in [0, 1]; got {self.first} and {self.end}")

    def steps(self, own: int, progress: float) -> int:
        """Return the steps now, of an attack that has `own` of them, at `progress` in [0, 1]."""
        if progress >= self.end or own <= self.first:
            return own
        return self.first + math.floor((own - self.first) * progress / self.end)


def with_attack_steps(objective: Objective, ramp: AttackRamp, progress: float) -> Objective:
    """Return the objective with fewer steps in every attack that it holds, also in objectives within it.

    Raises:
        UserError: If none of them has a field ``steps``.
    """
    found, changed = _shortened(objective, ramp, progress)
    if not found:
        raise UserError(f"training.attack_ramp: {objective!r} holds no attack with steps")
    assert isinstance(changed, Objective)
    return changed


def _shortened(value: Any, ramp: AttackRamp, progress: float) -> tuple[bool, Any]:
    """Return whether an attack with steps was found in `value`, and `value` with its steps changed."""
    changes: dict[str, Any] = {}
    found = isinstance(value, Attack) and hasattr(value, "steps")
    if found:
        changes["steps"] = ramp.steps(value.steps, progress)
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if isinstance(inner, Attack | Objective):
            inside, changes[field.name] = _shortened(inner, ramp, progress)
            found = found or inside
    return found, dataclasses.replace(value, **changes) if changes else value


def rate_factor(step: int, steps: int, *, shape: str, warmup: float, drops: tuple[float, ...]) -> float:
    """Return the learning rate at a step as a share of its peak.

        rise  = min(1, (step + 1) / (warmup steps))                    the first step is not lost at a rate of 0
        shape = (1 + cos(pi p)) / 2, or 1 - p, or 1;  p = step / steps
        factor = rise * shape * 0.1^(drops passed)

    Args:
        step: Steps done, from 0.
        steps: Steps in all.
        shape: ``cosine``, ``linear`` or ``constant``.
        warmup: Share of all steps.
        drops: Shares of all steps at which the rate falls to a tenth.
    """
    progress = step / steps
    rise = min(1.0, (step + 1) / (warmup * steps)) if warmup else 1.0
    curves = {"cosine": 0.5 * (1.0 + math.cos(math.pi * progress)), "linear": 1.0 - progress, "constant": 1.0}
    return rise * curves[shape] * 0.1 ** sum(progress >= drop for drop in drops)
