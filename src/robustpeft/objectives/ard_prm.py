"""ARD and PRM: adversarial training of ViTs against an adversary that grows into its strength.

    cross_entropy(f(x'), y),   x' from PGD which, at a share t of its warm-up,
    ARD: lets the gradient through each attention branch with probability t, drawn for every step and block,
    PRM: sets the perturbation of a share 1 - t of the patches back to 0 before every step.

Source: Mo et al. 2022, arXiv:2210.07540, Section 4 and their code (10 of 40 epochs of warm-up). Differs: where all
branches of a step are drawn closed, one of them is open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from robustpeft.errors import UserError
from robustpeft.objectives.attention_gates import AttentionGates
from robustpeft.objectives.base import Loss, Objective, adversarial_loss
from robustpeft.objectives.inner import attacked, soft_measure
from robustpeft.objectives.lesson import Lesson, Moment
from robustpeft.objectives.masked_pgd import MaskedPGD
from robustpeft.types import Classifier, attack_view

__all__ = ["ARDPRM"]


@final
@dataclass(frozen=True)
class ARDPRM(Objective):
    """Cross-entropy on images from PGD that drops attention gradients and forgets patches while it warms up.

    After the warm-up it is PGD adversarial training. Their loss is also offered with TRADES and MART, this one is not.

    Cost: `steps` forwards and backwards, then 1 forward and 1 backward of the trained parameters.

    Args:
        steps: Of PGD, at least 1.
        step_size: In pixel units; None for ``2.5 * epsilon / steps``; 2 / 255 in the paper.
        warmup: Share of all steps of tuning, in [0, 1].
        attention: ARD; needs a network whose attention branches are known.
        patches: PRM.
        patch_size: Of the patches in pixels of the image, the side of the network's own: 16, or 4 at 32 pixels.
    """

    adversarial: ClassVar[bool] = True

    steps: int = 10
    step_size: float | None = None
    warmup: float = 0.25
    attention: bool = True
    patches: bool = True
    patch_size: int = 16

    def __post_init__(self) -> None:
        if self.steps < 1 or self.patch_size < 1:
            raise UserError(f"steps and patch_size must be at least 1; got {self.steps} and {self.patch_size}")
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise UserError(f"step_size must be positive and finite, in pixel units; got {self.step_size:g}")
        if not 0 <= self.warmup <= 1:
            raise UserError(f"warmup must be a share in [0, 1]; got {self.warmup:g}")

    def prepare(self, model: Classifier, lesson: Lesson, moment: Moment) -> Lesson:
        """Return the lesson with the images that the attack found at its present strength.

        Raises:
            UserError: If the attention branches are not known, or the patches do not tile the image.
        """
        strength = min(1.0, moment.progress / self.warmup) if self.warmup else 1.0
        subject: Classifier = model
        if self.attention and strength < 1 and moment.threat.epsilon:
            subject = AttentionGates(attack_view(model), strength, moment.seed)
        forget = 1 - strength if self.patches else 0.0
        attack = MaskedPGD(self.steps, self.step_size, forget, self.patch_size)
        return attacked(attack, subject, lesson, moment, soft_measure(lesson.targets))

    def loss(self, model: Classifier, lesson: Lesson) -> Loss:
        """Return the mean cross-entropy on the adversarial images."""
        return adversarial_loss(model, lesson)
