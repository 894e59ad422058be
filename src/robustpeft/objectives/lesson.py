"""What does one training pass learn from? Images with targets, and what an adversary made of them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from robustpeft.attacks.rows import Rows
from robustpeft.errors import UserError
from robustpeft.types import Threat, check_labels

__all__ = ["Lesson", "Moment", "Targets"]


@dataclass(frozen=True)
class Moment:
    """When in the course of tuning, and against whom.

    Args:
        threat: Norm and epsilon now.
        seed: Of all randomness of this step.
        progress: Share of all steps done, in [0, 1]; at 1 every warm-up is over.
    """

    threat: Threat
    seed: int = 0
    progress: float = 1.0


@dataclass(frozen=True)
class Targets(Rows):
    """What the model should answer: one class per image, or probabilities, kept as what they were made of.

    The probabilities are ``(1 - smoothing) * (share * onehot(labels) + (1 - share) * onehot(others)) + smoothing / k``.

    Args:
        labels: Int64 (b,).
        others: Int64 (b,), the second class of a mixed image; None if none is mixed.
        share: Float (b,) in [0, 1], how much of each image is of its first class; None if none is mixed.
        smoothing: In [0, 1): this much is spread evenly over all k classes.
    """

    labels: Tensor
    others: Tensor | None = None
    share: Tensor | None = None
    smoothing: float = 0.0

    @property
    def hard(self) -> bool:
        """Whether each image has one class."""
        return self.others is None and self.smoothing == 0

    def cross_entropies(self, logits: Tensor) -> Tensor:
        """Return ``-sum over classes of probability * log softmax(logits)`` of each image (b,).

        Raises:
            UserError: If a label is not the index of a logit.
        """
        check_labels(self.labels, num_classes=logits.shape[1])
        first = F.cross_entropy(logits, self.labels, reduction="none", label_smoothing=self.smoothing)
        if self.others is None or self.share is None:
            return first
        second = F.cross_entropy(logits, self.others, reduction="none", label_smoothing=self.smoothing)
        return self.share * first + (1 - self.share) * second

    def cross_entropy(self, logits: Tensor) -> Tensor:
        """Return the mean of `cross_entropies`, a scalar.

        Raises:
            UserError: If a label is not the index of a logit.
        """
        if self.others is not None:
            return self.cross_entropies(logits).mean()
        check_labels(self.labels, num_classes=logits.shape[1])
        return F.cross_entropy(logits, self.labels, label_smoothing=self.smoothing)

    def accuracy(self, logits: Tensor) -> Tensor:
        """Return the share of images whose largest logit is that of the first class, a detached scalar."""
        return (logits.detach().argmax(dim=1) == self.labels).float().mean()


@dataclass(frozen=True)
class Lesson(Rows):
    """A batch as the training pass sees it; `take` gives a part of it, for passes over fewer images at a time.

    Args:
        images: Float (b, 3, h, w) in [0, 1], without an adversary.
        targets: What the model should answer.
        ids: Int64 (b,), one per image.
        adversarial: Float (b, 3, h, w) in [0, 1], what the adversary found; None without one, and at epsilon 0.
        reference: Float (b, d), what the frozen model makes of the images; None unless the objective asks for it.
    """

    images: Tensor
    targets: Targets
    ids: Tensor
    adversarial: Tensor | None = None
    reference: Tensor | None = None

    @property
    def attacked(self) -> Tensor:
        """The adversarial images; the images themselves without an adversary."""
        return self.images if self.adversarial is None else self.adversarial

    def require_hard(self, objective: str) -> None:
        """Raise unless each image has one class.

        Raises:
            UserError: Naming the objective that cannot learn from probabilities.
        """
        if not self.targets.hard:
            raise UserError(f"{objective} needs one class per image; take it out of mix and smoothing")
