"""TRADES: stay right on clean images, and answer alike within the threat.

    min over w of  mean  cross_entropy(f_w(x), y) + beta * max over x' in threat(x) of KL(p_w(x) || p_w(x'))

with p = softmax(f).

Source: Zhang et al. 2019, arXiv:1901.08573, Equation 5 and Algorithm 1, whose 1 / lambda is beta.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, final

from torch import Tensor
from torch.nn import functional as F

from robustpeft.attacks import PGD, Attack
from robustpeft.errors import UserError
from robustpeft.objectives.base import Loss, Objective, natural_loss
from robustpeft.objectives.inner import attacked
from robustpeft.objectives.lesson import Lesson, Moment
from robustpeft.types import Classifier

__all__ = ["TRADES", "divergences"]


@final
@dataclass(frozen=True)
class TRADES(Objective):
    """Cross-entropy on clean images plus beta times how far the answer to adversarial ones is from it.

    The gradient flows through both answers, as in the authors' code. Differs from it: the ascent begins at a uniformly
    random point of the ball, not at 0.001 times Gaussian noise around the image.

    Cost: the attack's passes and 1 forward for the clean answer, then 2 forwards and 2 backwards of the trained
    parameters; one after the other, because on a CPU both images in one batch took as long or longer.

    Args:
        attack: The inner maximisation, of ``loss="kl"`` in the paper.
        beta: Weight of the divergence, at least 0.
    """

    adversarial: ClassVar[bool] = True

    attack: Attack = field(default_factory=lambda: PGD(steps=10, keep="last", loss="kl"))
    beta: float = 6.0

    def __post_init__(self) -> None:
        if not self.beta >= 0:
            raise UserError(f"beta must be at least 0; got {self.beta:g}")

    def prepare(self, model: Classifier, lesson: Lesson, moment: Moment) -> Lesson:
        """Return the lesson with the images that the attack found."""
        return attacked(self.attack, model, lesson, moment)

    def loss(self, model: Classifier, lesson: Lesson) -> Loss:
        """Return the cross-entropy on the images themselves and the weighted divergence."""
        if lesson.adversarial is None:
            return natural_loss(model, lesson)
        clean, found = model(lesson.images), model(lesson.adversarial)
        natural, divergence = lesson.targets.cross_entropy(clean), divergences(clean, found).mean()
        parts = {
            "cross_entropy": natural.detach(),
            "divergence": divergence.detach(),
            "adversarial_accuracy": lesson.targets.accuracy(found),
        }
        return Loss(natural + self.beta * divergence, parts)


def divergences(clean: Tensor, other: Tensor) -> Tensor:
    """Return ``KL(softmax(clean) || softmax(other))`` (b,) of logits (b, k)."""
    log_p, log_q = F.log_softmax(clean, dim=1), F.log_softmax(other, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)
