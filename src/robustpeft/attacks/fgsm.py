"""FGSM: one step along the gradient.

    x' = clip(x + epsilon * sign(grad loss(x)))        in Linf; the normalised gradient in L2

Source: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, Section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from robustpeft.attacks.base import Attack, Target, evaluate
from robustpeft.attacks.losses import find_loss
from robustpeft.types import Classifier

__all__ = ["FGSM"]


@final
@dataclass(frozen=True)
class FGSM(Attack):
    """One full step of size epsilon along the direction of steepest ascent.

    Args:
        loss: What is increased, ``cross_entropy`` or ``margin``.
    """

    cost: ClassVar[str] = "1 forward, 1 backward"

    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        find_loss(self.loss)

    def search(self, view: Classifier, target: Target) -> Tensor:
        """Return the images after the step."""
        gradient = evaluate(view, target.images, target.labels, self.loss).gradient
        return target.within(target.images + target.threat.epsilon * target.threat.ascend(gradient))
