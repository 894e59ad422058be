"""What does an attack increase? One number per image, from its logits and its label."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robustpeft.errors import UserError, nearest_hint

__all__ = ["LOSSES", "AttackLoss", "cross_entropy", "find_loss", "margin"]

AttackLoss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``-log softmax(logits)[label]`` (b,)."""
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``max over wrong classes of logit - logit of the label`` (b,): positive when the image is misclassified.

    Raises:
        UserError: If there is only one class.
    """
    if logits.shape[1] < 2:
        raise UserError("a margin needs at least two classes; the model has one")
    true = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(dim=1) - true


LOSSES: Mapping[str, AttackLoss] = {"cross_entropy": cross_entropy, "margin": margin}


def find_loss(name: str) -> AttackLoss:
    """Return the loss of that name.

    Raises:
        UserError: For an unknown name, with the nearest valid one.
    """
    if name not in LOSSES:
        raise UserError(f"unknown attack loss {name!r}; {nearest_hint(name, LOSSES)}")
    return LOSSES[name]
