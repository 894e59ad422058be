"""What does an attack increase? One number per image, from its logits, its label and perhaps a class to be reached."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional as F

from robustpeft.errors import UserError, nearest_hint
from robustpeft.types import look_up

__all__ = [
    "DLR",
    "LOSSES",
    "AttackLoss",
    "CrossEntropy",
    "KLDivergence",
    "Margin",
    "SquaredDistance",
    "TargetedCrossEntropy",
    "TargetedDLR",
    "TargetedMargin",
    "find_loss",
    "margin",
]


@dataclass(frozen=True)
class AttackLoss(ABC):
    """A value that is larger the nearer an image is to being misclassified; it holds nothing.

    Attributes:
        targeted: It needs a class to be reached.
        relative: It measures how far the answer is from the one to the clean image; `targets` are then those logits.
        fewest_classes: With fewer it has no meaning.
    """

    targeted: ClassVar[bool] = False
    relative: ClassVar[bool] = False
    fewest_classes: ClassVar[int] = 2

    @abstractmethod
    def __call__(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the loss (b,).

        Args:
            logits: Float32 (b, k).
            labels: Int64 (b,).
            targets: Int64 (b,), the classes to be reached, if it is targeted; the clean logits (b, k) if it is
                relative; of no meaning otherwise.
        """


@final
@dataclass(frozen=True)
class CrossEntropy(AttackLoss):
    """``-log softmax(z)[y] = softplus(logsumexp over wrong classes of z - z_y)``.

    The second form is the same number, but its gradient does not vanish in float32 as soon as softmax(z)[y] rounds to 1
    (at odds of e**17); it lasts to e**87.
    """

    def __call__(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy (b,)."""
        others = logits.scatter(1, labels[:, None], -torch.inf).logsumexp(dim=1)
        odds = others - _at(logits, labels)
        return F.softplus(odds, threshold=60.0)


@final
@dataclass(frozen=True)
class Margin(AttackLoss):
    """``max over wrong classes of z - z_y``; positive where it is misclassified (Carlini and Wagner 2017)."""

    def __call__(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the margin (b,)."""
        return margin(logits, labels)


@final
@dataclass(frozen=True)
class DLR(AttackLoss):
    """``-(z_y - max over wrong classes of z) / (z_1 - z_3)``, z_1 >= z_2 >= ... sorted: unchanged by scale and shift.

    Source: Croce and Hein 2020, arXiv:2003.01690, Section 5, Equation 6, with their 1e-12 in the denominator.
    """

    fewest_classes: ClassVar[int] = 3

    def __call__(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the difference of logits ratio (b,)."""
        top = logits.sort(dim=1).values
        return margin(logits, labels) / (top[:, -1] - top[:, -3] + 1e-12)


@final
@dataclass(frozen=True)
class TargetedCrossEntropy(AttackLoss):
    """``log softmax(z)[t]``, t the class to be reached."""

    targeted: ClassVar[bool] = True

    def __call__(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return minus the cross-entropy of the targets (b,)."""
        return -CrossEntropy()(logits, targets, targets)


@final
@dataclass(frozen=True)
class TargetedMargin(AttackLoss):
    """``z_t - z_y``, t the class to be reached."""

    targeted: ClassVar[bool] = True

    def __call__(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the difference (b,)."""
        return _at(logits, targets) - _at(logits, labels)


@final
@dataclass(frozen=True)
class TargetedDLR(AttackLoss):
    """``-(z_y - z_t) / (z_1 - (z_3 + z_4) / 2)``, z_1 >= z_2 >= ... sorted, t the class to be reached.

    Source: Croce and Hein 2020, arXiv:2003.01690, Section 5, Equation 7, with their 1e-12 in the denominator.
    """

    targeted: ClassVar[bool] = True
    fewest_classes: ClassVar[int] = 4

    def __call__(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the ratio (b,)."""
        top = logits.sort(dim=1).values
        span = top[:, -1] - 0.5 * (top[:, -3] + top[:, -4])
        return (_at(logits, targets) - _at(logits, labels)) / (span + 1e-12)


@final
@dataclass(frozen=True)
class KLDivergence(AttackLoss):
    """``KL(softmax(clean) || softmax(z))``: how far from the clean answer (Zhang et al. 2019)."""

    relative: ClassVar[bool] = True

    def __call__(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the divergence (b,)."""
        clean = F.log_softmax(targets, dim=1)
        return (clean.exp() * (clean - F.log_softmax(logits, dim=1))).sum(dim=1)


@final
@dataclass(frozen=True)
class SquaredDistance(AttackLoss):
    """``|z - clean|^2``, of logits or of embeddings (FARE, Schlarmann et al. 2024, arXiv:2402.12336)."""

    relative: ClassVar[bool] = True
    fewest_classes: ClassVar[int] = 1

    def __call__(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the squared distance (b,)."""
        return (logits - targets).square().sum(dim=1)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``max over wrong classes of logit - logit of the label`` (b,): positive when the image is misclassified.

    Raises:
        UserError: If there is only one class.
    """
    if logits.shape[1] < 2:
        raise UserError("a margin needs at least two classes; the model has one")
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(dim=1) - _at(logits, labels)


LOSSES: Mapping[str, type[AttackLoss]] = {
    "cross_entropy": CrossEntropy,
    "margin": Margin,
    "dlr": DLR,
    "targeted_cross_entropy": TargetedCrossEntropy,
    "targeted_margin": TargetedMargin,
    "targeted_dlr": TargetedDLR,
    "kl": KLDivergence,
    "squared_distance": SquaredDistance,
}


@functools.cache
def find_loss(name: str) -> AttackLoss:
    """Return the loss of that name, or an `AttackLoss` of one's own by ``package.module:Class``.

    Raises:
        UserError: For an unknown name, with the nearest valid one.
    """
    if ":" not in name and name not in LOSSES:
        raise UserError(f"unknown attack loss {name!r}; {nearest_hint(name, LOSSES)}")
    cls = look_up(LOSSES, name, "attack loss")
    if not issubclass(cls, AttackLoss):
        raise UserError(f"{name!r} is not an attack loss (a class derived from AttackLoss)")
    loss: AttackLoss = cls()
    return loss


def _at(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None]).squeeze(1)
