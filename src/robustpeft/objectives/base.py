"""What is an objective? A value that, called with a model and a batch, returns the loss that tuning minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, final

from torch import Tensor
from torch.nn import functional as F

from robustpeft.types import Classifier, Threat, check_labels

__all__ = ["Loss", "Objective", "mean_cross_entropy"]


@dataclass(frozen=True)
class Loss:
    """A loss and what it is made of.

    Args:
        total: Scalar with a graph; the mean over the batch.
        parts: Detached scalars for the log, by name.
    """

    total: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Objective(ABC):
    """A training loss with its hyper-parameters; it holds no model.

    Attributes:
        adversarial: It uses the threat.
    """

    adversarial: ClassVar[bool]

    @final
    def __call__(
        self,
        model: Classifier,
        images: Tensor,
        labels: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Tensor | None = None,
    ) -> Loss:
        """Return the mean loss over a batch.

        Args:
            model: Its trained parameters receive the graph; it is called in the mode it is in.
            images: Float (b, 3, h, w) in [0, 1].
            labels: Int (b,).
            threat: Norm and epsilon now; at epsilon 0 every objective is the natural loss.
            seed: Of the attack's randomness in this step.
            ids: Int (b,), one per image.

        Raises:
            UserError: If the labels are not class indices of the model's logits.
        """
        check_labels(labels, batch=images.shape[0])
        return self.loss(model, images, labels.long(), threat, seed, ids)

    @abstractmethod
    def loss(
        self, model: Classifier, images: Tensor, labels: Tensor, threat: Threat, seed: int, ids: Tensor | None
    ) -> Loss:
        """Return the loss; see `__call__`."""


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of ``-log softmax(logits)[label]`` over the batch, a scalar.

    Raises:
        UserError: If a label is not the index of a logit.
    """
    check_labels(labels, num_classes=logits.shape[1])
    return F.cross_entropy(logits, labels)
