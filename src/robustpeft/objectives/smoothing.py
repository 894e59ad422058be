"""Label smoothing: no answer should be certain.

    q = (1 - amount) * onehot(y) + amount / k

Source: Szegedy et al. 2016, arXiv:1512.00567, Section 7, with the uniform prior.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import final

from robustpeft.errors import UserError
from robustpeft.objectives.base import Loss, Objective
from robustpeft.objectives.lesson import Lesson, Moment
from robustpeft.objectives.pgd_at import PgdAt
from robustpeft.types import Classifier

__all__ = ["Smoothing"]


@final
@dataclass(frozen=True)
class Smoothing(Objective):
    """Another objective whose labels are smoothed: its cross-entropy, also where its adversary increases it.

    Cost: that of the objective.

    Args:
        objective: One with a cross-entropy; MART and FARE have none that takes probabilities.
        amount: Spread evenly over all classes, in [0, 1).
    """

    objective: Objective = field(default_factory=PgdAt)
    amount: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.amount < 1:
            raise UserError(f"amount must be in [0, 1); got {self.amount:g}")

    @property
    def adversarial(self) -> bool:
        """Whether the objective is."""
        return self.objective.adversarial

    def prepare(self, model: Classifier, lesson: Lesson, moment: Moment) -> Lesson:
        """Return the lesson that the objective prepares from smoothed labels.

        Raises:
            UserError: If the objective needs one class per image, or the labels are smoothed already.
        """
        if lesson.targets.smoothing:
            raise UserError("the labels are smoothed already; take one of the two smoothings away")
        targets = dataclasses.replace(lesson.targets, smoothing=self.amount)
        return self.objective.prepare(model, dataclasses.replace(lesson, targets=targets), moment)

    def loss(self, model: Classifier, lesson: Lesson) -> Loss:
        """Return the objective's loss."""
        return self.objective.loss(model, lesson)
