"""Adversarial training: cross-entropy on the images that PGD finds against the model as it is now.

    min over w of  mean  max over x' in threat(x) of  cross_entropy(f_w(x'), y)

Source: Madry et al. 2018, arXiv:1706.06083, Section 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, final

from torch import Tensor

from robustpeft.attacks import PGD, Attack
from robustpeft.objectives.base import Loss, Objective, mean_cross_entropy
from robustpeft.types import Classifier, Threat

__all__ = ["PgdAt"]


@final
@dataclass(frozen=True)
class PgdAt(Objective):
    """Cross-entropy on adversarial images.

    Cost: the attack's passes, then 1 forward and 1 backward of the trained parameters.

    Args:
        attack: The inner maximisation; the last iterate is what the training pass sees, so it need not be judged.
    """

    adversarial: ClassVar[bool] = True

    attack: Attack = field(default_factory=lambda: PGD(steps=10, keep="last"))

    def loss(
        self, model: Classifier, images: Tensor, labels: Tensor, threat: Threat, seed: int, ids: Tensor | None
    ) -> Loss:
        """Return the mean cross-entropy on the adversarial images."""
        adversarial = self.attack(model, images, labels, threat, seed=seed, ids=ids)
        total = mean_cross_entropy(model(adversarial), labels)
        return Loss(total, {"adversarial_cross_entropy": total.detach()})
