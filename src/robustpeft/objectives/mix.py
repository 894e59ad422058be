"""Mixup and CutMix: an image of two classes should be answered with both.

    mixup:   x = lambda x_i + (1 - lambda) x_j,                            lambda from Beta(a, a)
    CutMix:  x = x_i outside a rectangle of area 1 - lambda, x_j inside,   lambda from Beta(a, a), then its true share
    loss:    lambda * loss(y_i) + (1 - lambda) * loss(y_j)

Source: Zhang et al. 2018, arXiv:1710.09412, and Yun et al. 2019, arXiv:1905.04899; together as in Mo et al. 2022,
arXiv:2210.07540 (their code): the images are mixed first, then attacked, with the mixed labels.
"""

from __future__ import annotations

import dataclasses
import math
import random
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from robustpeft.errors import UserError
from robustpeft.objectives.base import Loss, Objective
from robustpeft.objectives.lesson import Lesson, Moment, Targets
from robustpeft.objectives.pgd_at import PgdAt
from robustpeft.types import Classifier, Noise, derive_seed

__all__ = ["Mix"]


@final
@dataclass(frozen=True)
class Mix(Objective):
    """Another objective on batches some of which are mixed, all images of a batch in the same way.

    The defaults are Mo et al.'s. Differs: an image's partner follows from the seed and the ids of the batch, not from
    the order of images; theirs is the one at the mirrored place.

    Cost: that of the objective; one more cross-entropy, without a pass.

    Args:
        objective: One with a cross-entropy; MART and FARE have none that takes probabilities.
        mixup: a of mixup's Beta distribution; 0 for no mixup.
        cutmix: a of CutMix's; 0 for no CutMix.
        probability: That a batch is mixed, in [0, 1].
        switch: That a mixed batch is cut rather than blended, in [0, 1], if both are on.
    """

    objective: Objective = field(default_factory=PgdAt)
    mixup: float = 0.8
    cutmix: float = 1.0
    probability: float = 0.3
    switch: float = 0.5

    def __post_init__(self) -> None:
        if not (self.mixup >= 0 and self.cutmix >= 0 and self.mixup + self.cutmix > 0):
            raise UserError(
                f"mixup and cutmix must be at least 0, and one of them positive; got {self.mixup:g} and {self.cutmix:g}"
            )
        if not (0 <= self.probability <= 1 and 0 <= self.switch <= 1):
            raise UserError(f"probability and switch must be in [0, 1]; got {self.probability:g} and {self.switch:g}")

    @property
    def adversarial(self) -> bool:
        """Whether the objective is."""
        return self.objective.adversarial

    def prepare(self, model: Classifier, lesson: Lesson, moment: Moment) -> Lesson:
        """Return the lesson that the objective prepares from mixed images.

        Raises:
            UserError: If the objective needs one class per image, or the images are mixed already.
        """
        if lesson.targets.others is not None:
            raise UserError("the images are mixed already; take one of the two mixes away")
        chance = random.Random(derive_seed(moment.seed, "Mix"))  # noqa: S311 (no secret; keyed by the seed alone)
        if chance.random() < self.probability:
            lesson = self._mixed(lesson, moment.seed, chance)
        return self.objective.prepare(model, lesson, moment)

    def loss(self, model: Classifier, lesson: Lesson) -> Loss:
        """Return the objective's loss."""
        return self.objective.loss(model, lesson)

    def _mixed(self, lesson: Lesson, seed: int, chance: random.Random) -> Lesson:
        partner = _partners(lesson.ids, seed)
        images, others = lesson.images, lesson.images[partner]
        cuts = self.cutmix > 0 and (self.mixup == 0 or chance.random() < self.switch)
        a = self.cutmix if cuts else self.mixup
        share = chance.betavariate(a, a)
        if cuts:
            top, bottom, left, right = _rectangle(images.shape[-2], images.shape[-1], 1 - share, chance)
            mixed = images.clone()
            mixed[..., top:bottom, left:right] = others[..., top:bottom, left:right]
            share = 1 - (bottom - top) * (right - left) / (images.shape[-2] * images.shape[-1])
        else:
            mixed = share * images + (1 - share) * others
        labels = lesson.targets.labels
        targets = Targets(
            labels,
            labels[partner.to(labels.device)],
            torch.full(labels.shape, share, device=labels.device),
            lesson.targets.smoothing,
        )
        return dataclasses.replace(lesson, images=mixed, targets=targets)


def _partners(ids: Tensor, seed: int) -> Tensor:
    """Return int64 (b,): the row of each image's partner, the next one in a random circle of all."""
    circle = Noise(seed, ids, "Mix").bits(()).argsort()
    partner = torch.empty_like(circle)
    partner[circle] = circle.roll(-1)
    return partner


def _rectangle(height: int, width: int, area: float, chance: random.Random) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of a rectangle of this share of the area, cut off where it sticks out."""
    rows, columns = int(height * math.sqrt(area)), int(width * math.sqrt(area))
    row, column = chance.randrange(height), chance.randrange(width)
    top, left = row - rows // 2, column - columns // 2
    return max(top, 0), min(top + rows, height), max(left, 0), min(left + columns, width)
