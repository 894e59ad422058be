"""What is asked of several runs at once, on paper? Which arms, and what is done to their models."""

from __future__ import annotations

from dataclasses import dataclass, field

from robustpeft.attacks import PGD, Attack
from robustpeft.errors import UserError

__all__ = ["DistanceStage", "TransferStage"]


@dataclass(frozen=True)
class TransferStage:
    """Every image attacked on every arm and shown to all of them: the run of each arm's first seed stands for it.

    Args:
        arms: Labels of two or more arms.
        epsilon: Radius of the attack.
        norm: Of the radius.
        grid: Where the arms stand.
        attack: How images are made; where it does not succeed it gives the image nearest to success.
        images: At most this many test images; None for all.
        seed: Of the subset and the attack.
    """

    arms: tuple[str, ...]
    epsilon: float
    norm: str = "linf"
    grid: str = "main"
    attack: Attack = field(default_factory=lambda: PGD(steps=20, loss="margin"))
    images: int | None = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.arms) < 2 or len(set(self.arms)) < len(self.arms):
            raise UserError(f"transfers: arms must be two or more different labels; got {self.arms}")


@dataclass(frozen=True)
class DistanceStage:
    """How far the parameters of two arms of full tuning lie apart, seed by seed.

    Args:
        standard: Label of the arm that is tuned in the ordinary way.
        adversarial: Label of the arm that is tuned against an adversary.
        grid: Where both stand.
    """

    standard: str
    adversarial: str
    grid: str = "main"

    @property
    def arms(self) -> tuple[str, str]:
        """Both labels."""
        return self.standard, self.adversarial
