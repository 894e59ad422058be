"""The natural loss: cross-entropy on clean images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from robustpeft.objectives.base import Loss, Objective, mean_cross_entropy
from robustpeft.types import Classifier, Threat

__all__ = ["Natural"]


@final
@dataclass(frozen=True)
class Natural(Objective):
    """Cross-entropy on clean images; the threat is not used.

    Cost: 1 forward and 1 backward of the trained parameters.
    """

    adversarial: ClassVar[bool] = False

    def loss(
        self,
        model: Classifier,
        images: Tensor,
        labels: Tensor,
        threat: Threat,
        seed: int,
        ids: Tensor | None,
    ) -> Loss:
        """Return the mean cross-entropy."""
        total = mean_cross_entropy(model(images), labels)
        return Loss(total, {"cross_entropy": total.detach()})
