"""Single-step adversarial training: one step of the gradient from a random start, at a tenth of the price of PGD-10.

    x0 = clip(x + start * epsilon * u),   u uniform on the unit ball
    x' = clip(x0 + step * epsilon * ascend(grad cross_entropy(f(x0), y)))      then into the ball around x if `inside`

It can be trained against with success while PGD meets no resistance: catastrophic overfitting, which is seen only on
images that another attack judges (`catastrophic`).

Source: Wong, Rice and Kolter 2020, arXiv:2001.03994, Algorithm 3 (start 1, step 1.25, inside); de Jorge et al. 2022,
"Make Some Noise", arXiv:2202.01181, N-FGSM (start 2, step 1, not inside).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar, final

from robustpeft.attacks import FGSM
from robustpeft.errors import UserError
from robustpeft.objectives.base import Loss, Objective, adversarial_loss
from robustpeft.objectives.inner import attacked, soft_measure
from robustpeft.objectives.lesson import Lesson, Moment
from robustpeft.types import Classifier, Noise, Threat

__all__ = ["SingleStep"]


@final
@dataclass(frozen=True)
class SingleStep(Objective):
    """Cross-entropy on images that one gradient step from a random start found; overfits without warning of its own.

    ``SingleStep(start=2, step=1, inside=False)`` is N-FGSM, which resists catastrophic overfitting longer; it trains on
    images up to 3 epsilon away. Differs from it: the start is clipped to [0, 1] before the step.

    Cost: 1 forward and 1 backward for the step, then 1 forward and 1 backward of the trained parameters.

    Args:
        start: Radius of the random start in epsilons, at least 0.
        step: Size of the step in epsilons, positive.
        inside: The result is brought into the threat; if not, into [0, 1] only.
    """

    adversarial: ClassVar[bool] = True

    start: float = 1.0
    step: float = 1.25
    inside: bool = True

    def __post_init__(self) -> None:
        if not (0 <= self.start < math.inf and 0 < self.step < math.inf):
            raise UserError(
                f"start must be at least 0 and step positive, both in epsilons; got {self.start:g} and {self.step:g}"
            )

    def prepare(self, model: Classifier, lesson: Lesson, moment: Moment) -> Lesson:
        """Return the lesson with the images at the end of the step."""
        threat, images = moment.threat, lesson.images
        if threat.epsilon == 0:
            return lesson
        around = _scaled(threat, self.start)
        noise = Noise(moment.seed, lesson.ids, "SingleStep")
        start = around.within(images, images + around.random(noise, tuple(images.shape[1:])).to(images.dtype))
        begun = dataclasses.replace(lesson, images=start)
        step = dataclasses.replace(moment, threat=_scaled(threat, self.step))
        found = attacked(FGSM(), model, begun, step, soft_measure(lesson.targets)).attacked
        return dataclasses.replace(lesson, adversarial=threat.within(images, found) if self.inside else found)

    def loss(self, model: Classifier, lesson: Lesson) -> Loss:
        """Return the mean cross-entropy on the adversarial images."""
        return adversarial_loss(model, lesson)


def _scaled(threat: Threat, factor: float) -> Threat:
    return threat.with_epsilon(min(factor * threat.epsilon, threat.max_epsilon))
