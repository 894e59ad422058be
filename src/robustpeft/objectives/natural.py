"""The natural loss: cross-entropy on clean images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from robustpeft.objectives.base import Loss, Objective, natural_loss
from robustpeft.objectives.lesson import Lesson, Moment
from robustpeft.types import Classifier

__all__ = ["Natural"]


@final
@dataclass(frozen=True)
class Natural(Objective):
    """Cross-entropy on clean images; the threat is not used.

    Cost: 1 forward and 1 backward of the trained parameters.
    """

    adversarial: ClassVar[bool] = False

    def prepare(self, model: Classifier, lesson: Lesson, moment: Moment) -> Lesson:
        """Return the lesson as it is."""
        return lesson

    def loss(self, model: Classifier, lesson: Lesson) -> Loss:
        """Return the mean cross-entropy."""
        return natural_loss(model, lesson)
