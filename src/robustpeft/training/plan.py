"""How are the parameters moved? Optimiser, schedules, averaging and selection, as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from robustpeft.attacks import PGD, Attack
from robustpeft.errors import UserError

__all__ = ["EpsilonRamp", "TrainingPlan"]


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
class TrainingPlan:
    """How the parameters are moved.

    Args:
        epochs: Passes over the training images, at least 1.
        batch_size: Images per step, over all processes.
        learning_rate: Peak rate.
        head_rate: Factor on the rate for the head.
        optimizer: ``adamw`` or ``sgd``.
        momentum: Of SGD.
        weight_decay: Decoupled for AdamW; never on vectors (norms, biases).
        warmup: Share of all steps in which the rate rises linearly from 0; then it falls to 0 on a cosine.
        clip: Largest norm of the gradient of all parameters; None for no clipping.
        epsilon_ramp: The threat over the course of tuning.
        averaging: Decay of an exponential moving average of the weights, which is then what is validated and kept;
            0 for none. In the first steps the decay is lower, so that the start is forgotten.
        validations: How often the validation images are looked at, evenly spread, the last epoch included.
        selection_attack: Judges robustness on the validation images when the objective is adversarial.
        selection_images: At most this many validation images are used; None for all.
        validation_batch_size: Images a pass on the validation images; None for `batch_size`.
        train_images: At most this many training images are used, a stratified subset; None for all.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    head_rate: float = 1.0
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.9
    weight_decay: float = 0.0
    warmup: float = 0.05
    clip: float | None = 1.0
    epsilon_ramp: EpsilonRamp = field(default_factory=EpsilonRamp)
    averaging: float = 0.0
    validations: int = 10
    selection_attack: Attack = field(default_factory=lambda: PGD(steps=10))
    selection_images: int | None = 1000
    validation_batch_size: int | None = None
    train_images: int | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.validations < 1:
            raise UserError(
                "epochs, batch_size and validations must be at least 1; "
                f"got {self.epochs}, {self.batch_size} and {self.validations}"
            )
        for name in ("learning_rate", "head_rate", "clip"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UserError(f"{name} must be positive and finite; got {value}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0 and 0 <= self.momentum < 1):
            raise UserError(
                f"weight_decay must be at least 0 and momentum in [0, 1); got {self.weight_decay} and {self.momentum}"
            )
        if not 0 <= self.warmup <= 1 or not 0 <= self.averaging < 1:
            raise UserError(f"warmup must be in [0, 1] and averaging in [0, 1); got {self.warmup} and {self.averaging}")
        if self.optimizer not in ("adamw", "sgd"):
            raise UserError(f"optimizer must be 'adamw' or 'sgd'; got {self.optimizer!r}")

    def rate_factor(self, progress: float) -> float:
        """Return the learning rate now as a share of its peak, at `progress` in [0, 1]."""
        rise = min(1.0, progress / self.warmup) if self.warmup else 1.0
        return rise * 0.5 * (1.0 + math.cos(math.pi * progress))

    def validates_after(self, epoch: int) -> bool:
        """Return whether the validation images are looked at after this epoch, counted from 1."""
        if epoch == self.epochs:
            return True
        done = epoch * self.validations // self.epochs
        return done > (epoch - 1) * self.validations // self.epochs
