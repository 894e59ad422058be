"""May this batch count? Only if the model answers with logits for these classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robustpeft.errors import UserError

__all__ = ["check_answer"]


def check_answer(logits: Tensor, batch: int, classes: Sequence[str]) -> None:
    """Raise unless these are finite logits (batch, number of classes).

    Raises:
        UserError: Saying what the model returned instead.
    """
    if logits.ndim != 2 or logits.shape[0] != batch:
        raise UserError(f"the model must return logits ({batch}, classes); got {tuple(logits.shape)}")
    if logits.shape[1] != len(classes):
        raise UserError(
            f"the model answers with {logits.shape[1]} classes, the data has {len(classes)} "
            f"({_sample(classes)}); audit it on the data it was tuned for"
        )
    if not bool(torch.isfinite(logits).all()):
        raise UserError("the model returned logits that are not finite; an audit of them would mean nothing")


def _sample(classes: Sequence[str]) -> str:
    shown = ", ".join(classes[:5])
    return f"{shown}, ..." if len(classes) > 5 else shown
