"""How are the parameters moved? Phases, optimiser, schedules, averaging and selection, as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from robustpeft.attacks import PGD, Attack
from robustpeft.errors import UserError
from robustpeft.training.phases import Phase
from robustpeft.training.schedules import AttackRamp, EpsilonRamp, rate_factor

__all__ = ["TrainingPlan"]

_CHOICES = {
    "optimizer": ("adamw", "sgd"),
    "schedule": ("cosine", "linear", "constant"),
    "precision": ("float32", "bf16", "auto"),
}


@dataclass(frozen=True)
class TrainingPlan:
    """How the parameters are moved.

    Args:
        epochs: Passes over the training images in the main phase, at least 1.
        before: Phases before it, for example ``(Phase(epochs=10),)``: the head first.
        batch_size: Images per step, over all processes.
        micro_batch_size: Images at once in the parameter pass, whose gradients are summed: less memory, and the same
            result up to rounding, but for dropout and for `awp`, where every part perturbs the weights for itself. None
            for all of the batch. The attack takes the whole batch. Where memory runs out, what did not fit is halved
            until it does, and it is said; in an attack in parts, `mix` mixes within each part.
        precision: ``float32``; ``bf16`` for autocast to bfloat16 in the passes of a step (weights, losses and
            validation stay in float32); ``auto`` for bf16 on GPUs that have it.
        learning_rate: Peak rate.
        head_rate: Factor on the rate for the head.
        norm_rate: Factor on the rate for the parameters of normalisation layers.
        optimizer: ``adamw`` or ``sgd``.
        momentum: Of SGD.
        weight_decay: Decoupled for AdamW; never on vectors (norms, biases).
        schedule: How the rate falls to 0 after warm-up: ``cosine``, ``linear``, or ``constant`` (it does not).
        warmup: Share of all steps in which the rate rises linearly; it is above 0 at the first.
        drops: Shares of all steps at which the rate falls to a tenth, besides.
        clip: Largest norm of the gradient of all parameters; None for no clipping.
        epsilon_ramp: The threat over the course of tuning.
        attack_ramp: The attack's steps over the course of tuning; None for the objective's own throughout.
        averaging: Decay of an exponential moving average of the weights, which is then what is validated and kept;
            0 for none. In the first steps the decay is lower, so that the start is forgotten.
        validations: How often the validation images are looked at, evenly spread, the last epoch included.
        patience: Looks at them without a better result after which tuning ends; None to go on to the end.
        selection_attack: Judges robustness on the validation images when the objective is adversarial. The epoch with
            the most images right under it is kept; among equals that with the most right on clean images, then the
            earliest.
        selection_images: At most this many validation images are used; None for all.
        validation_batch_size: Images a pass on the validation images; None for `batch_size`.
        train_images: At most this many training images are used, a stratified subset; None for all.
    """

    epochs: int = 30
    before: tuple[Phase, ...] = ()
    batch_size: int = 64
    micro_batch_size: int | None = None
    precision: Literal["float32", "bf16", "auto"] = "float32"
    learning_rate: float = 1e-3
    head_rate: float = 1.0
    norm_rate: float = 1.0
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = 0.05
    drops: tuple[float, ...] = ()
    clip: float | None = 1.0
    epsilon_ramp: EpsilonRamp = field(default_factory=EpsilonRamp)
    attack_ramp: AttackRamp | None = None
    averaging: float = 0.0
    validations: int = 10
    patience: int | None = None
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
        for name in ("micro_batch_size", "patience"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("learning_rate", "head_rate", "norm_rate", "clip"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UserError(f"{name} must be positive and finite; got {value}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0 and 0 <= self.momentum < 1):
            raise UserError(
                f"weight_decay must be at least 0 and momentum in [0, 1); got {self.weight_decay} and {self.momentum}"
            )
        if not 0 <= self.warmup <= 1 or not 0 <= self.averaging < 1:
            raise UserError(f"warmup must be in [0, 1] and averaging in [0, 1); got {self.warmup} and {self.averaging}")
        if not all(0 <= drop <= 1 for drop in self.drops):
            raise UserError(f"drops are shares of all steps in [0, 1]; got {self.drops}")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"{name} must be one of {', '.join(allowed)}; got {getattr(self, name)!r}")

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases in order, the main one last."""
        return (*self.before, Phase(self.epochs, "all", "same", epsilon_ramp=self.epsilon_ramp))

    @property
    def all_epochs(self) -> int:
        """Passes over the training images in all phases."""
        return sum(phase.epochs for phase in self.phases())

    def rate_factor(self, step: int, steps: int) -> float:
        """Return the learning rate at a phase's step, counted from 0, as a share of its peak."""
        return rate_factor(step, steps, shape=self.schedule, warmup=self.warmup, drops=self.drops)

    def validates_after(self, epoch: int) -> bool:
        """Return whether the validation images are looked at after this epoch of the main phase, counted from 1."""
        if epoch == self.epochs:
            return True
        done = epoch * self.validations // self.epochs
        return done > (epoch - 1) * self.validations // self.epochs
