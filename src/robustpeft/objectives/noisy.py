"""Training on perturbed images: Gaussian noise, or any other change that looks at no model.

    min over w of  mean  cross_entropy(f_w(perturbation(x)), y)

Source: Cohen, Rosenfeld and Kolter 2019, arXiv:1902.02918, Section 3.3, for Gaussian noise of the sigma at which the
smoothed classifier is certified. Differs: values stay in [0, 1], because a model takes nothing else.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, final

from robustpeft.objectives.base import Loss, Objective, natural_loss
from robustpeft.objectives.lesson import Lesson, Moment
from robustpeft.perturbations import GaussianNoise, Perturbation
from robustpeft.types import Classifier

__all__ = ["Noisy"]


@final
@dataclass(frozen=True)
class Noisy(Objective):
    """Cross-entropy on images with Gaussian noise, anew in every step; the threat is not used.

    Cost: 1 forward and 1 backward of the trained parameters.

    Args:
        perturbation: What is done to the images; of strength 0 this is the natural loss.
    """

    adversarial: ClassVar[bool] = False

    perturbation: Perturbation = field(default_factory=lambda: GaussianNoise(sigma=0.25))

    def prepare(self, model: Classifier, lesson: Lesson, moment: Moment) -> Lesson:
        """Return the lesson with perturbed images."""
        perturbed = self.perturbation(lesson.images, seed=moment.seed, ids=lesson.ids)
        return dataclasses.replace(lesson, images=perturbed)

    def loss(self, model: Classifier, lesson: Lesson) -> Loss:
        """Return the mean cross-entropy."""
        return natural_loss(model, lesson)
