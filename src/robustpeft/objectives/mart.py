"""MART: the images that are misclassified as they are deserve more attention than those that are not.

    min over w of  mean  BCE(p_w(x'), y) + beta * KL(p_w(x) || p_w(x')) * (1 - p_w(x)[y])
    BCE(p, y) = -log p[y] - log(1 - max over k != y of p[k])
    x' = argmax over threat(x) of cross_entropy(f_w(x'), y),   p = softmax(f)

Source: Wang et al. 2020, "Improving Adversarial Robustness Requires Revisiting Misclassified Examples", ICLR,
Equations 10 and 11, whose lambda is beta.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional as F

from robustpeft.attacks import PGD, Attack
from robustpeft.errors import UserError
from robustpeft.objectives.base import Loss, Objective, natural_loss
from robustpeft.objectives.inner import attacked
from robustpeft.objectives.lesson import Lesson, Moment
from robustpeft.objectives.trades import divergences
from robustpeft.types import Classifier, check_labels

__all__ = ["MART"]


@final
@dataclass(frozen=True)
class MART(Objective):
    """Boosted cross-entropy on adversarial images, and their divergence where the clean image is in doubt.

    At epsilon 0 it is the natural loss, not the boosted one: as epsilon leaves 0 the loss jumps by the second term of
    BCE. Differs from the authors' code: a uniformly random start instead of 0.001 times Gaussian noise; logarithms from
    the logits instead of log(p + 1e-12), which is the same but for probabilities of about that size.

    Cost: the attack's passes, then 2 forwards and 2 backwards of the trained parameters.

    Args:
        attack: The inner maximisation.
        beta: Weight of the divergence, at least 0; 6 in Mo et al. 2022 (arXiv:2210.07540, code).
    """

    adversarial: ClassVar[bool] = True

    attack: Attack = field(default_factory=lambda: PGD(steps=10, keep="last"))
    beta: float = 6.0

    def __post_init__(self) -> None:
        if not self.beta >= 0:
            raise UserError(f"beta must be at least 0; got {self.beta:g}")

    def prepare(self, model: Classifier, lesson: Lesson, moment: Moment) -> Lesson:
        """Return the lesson with the images that the attack found.

        Raises:
            UserError: If the images have no one class each.
        """
        lesson.require_hard("mart")
        return attacked(self.attack, model, lesson, moment)

    def loss(self, model: Classifier, lesson: Lesson) -> Loss:
        """Return the boosted cross-entropy and the weighted divergence."""
        if lesson.adversarial is None:
            return natural_loss(model, lesson)
        labels = lesson.targets.labels
        clean, found = model(lesson.images).float(), model(lesson.adversarial).float()
        check_labels(labels, num_classes=clean.shape[1])
        doubt = 1 - F.softmax(clean, dim=1).gather(1, labels[:, None]).squeeze(1)
        boosted, weighted = _boosted(found, labels).mean(), (divergences(clean, found) * doubt).mean()
        parts = {
            "boosted_cross_entropy": boosted.detach(),
            "weighted_divergence": weighted.detach(),
            "adversarial_accuracy": lesson.targets.accuracy(found),
        }
        return Loss(boosted + self.beta * weighted, parts)


def _boosted(logits: Tensor, labels: Tensor) -> Tensor:
    """Return BCE (b,); ``1 - p[m]`` is the sum of the others, and its logarithm is taken of that sum."""
    rival = logits.detach().scatter(1, labels[:, None], -torch.inf).argmax(dim=1, keepdim=True)
    others = logits.scatter(1, rival, -torch.inf).logsumexp(dim=1)
    return F.cross_entropy(logits, labels, reduction="none") + logits.logsumexp(dim=1) - others
