"""Adversarial training: cross-entropy on the images that PGD finds against the model as it is now.

    min over w of  mean  max over x' in threat(x) of  cross_entropy(f_w(x'), y)

Source: Madry et al. 2018, arXiv:1706.06083, Section 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, final

from robustpeft.attacks import PGD, Attack
from robustpeft.errors import UserError
from robustpeft.objectives.base import Loss, Objective, adversarial_loss, natural_loss
from robustpeft.objectives.inner import attacked, soft_measure
from robustpeft.objectives.lesson import Lesson, Moment
from robustpeft.types import Classifier

__all__ = ["PgdAt"]


@final
@dataclass(frozen=True)
class PgdAt(Objective):
    """Cross-entropy on adversarial images.

    ``(1 - clean) * cross_entropy(f(x'), y) + clean * cross_entropy(f(x), y)``

    Cost: the attack's passes, then 1 forward and 1 backward of the trained parameters; twice that if `clean` is not 0.

    Args:
        attack: The inner maximisation; the last iterate is what the training pass sees, so it need not be judged.
        clean: Weight of the images without an adversary, in [0, 1]; 0 in Madry et al., 0.5 in Goodfellow, Shlens and
            Szegedy 2015 (arXiv:1412.6572, Section 6).
    """

    adversarial: ClassVar[bool] = True

    attack: Attack = field(default_factory=lambda: PGD(steps=10, keep="last"))
    clean: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.clean <= 1:
            raise UserError(f"clean must be a weight in [0, 1]; got {self.clean:g}")

    def prepare(self, model: Classifier, lesson: Lesson, moment: Moment) -> Lesson:
        """Return the lesson with the images that the attack found."""
        return attacked(self.attack, model, lesson, moment, soft_measure(lesson.targets))

    def loss(self, model: Classifier, lesson: Lesson) -> Loss:
        """Return the mean cross-entropy on the adversarial images, mixed with that on the images themselves."""
        adversarial = adversarial_loss(model, lesson)
        if not self.clean or lesson.adversarial is None:
            return adversarial
        natural = natural_loss(model, lesson)
        total = (1 - self.clean) * adversarial.total + self.clean * natural.total
        return Loss(total, adversarial.parts | natural.parts)
