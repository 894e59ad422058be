"""May this batch count? Only logits for these classes, and only adversarial images within the threat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robustpeft.errors import UserError
from robustpeft.types import Threat

__all__ = ["check_adversarial", "check_answer"]


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


def check_adversarial(adversarial: Tensor, images: Tensor, threat: Threat, attack: str) -> None:
    """Raise unless every adversarial image lies in [0, 1] and within `threat`, up to float32 rounding.

    Args:
        adversarial: What the attack returned.
        images: Float (b, 3, h, w), the originals, which the attack cannot have changed.
        threat: What it was allowed.
        attack: Its name, for the message.

    Raises:
        RuntimeError: If not; the attack is wrong, and its result must not be counted.
    """
    if adversarial.shape != images.shape:
        raise RuntimeError(f"{attack} turned images {tuple(images.shape)} into {tuple(adversarial.shape)}")
    if len(images) == 0:
        return
    low, high = (float(value) for value in torch.aminmax(adversarial))
    if not (low >= 0 and high <= 1):  # also true for NaN
        raise RuntimeError(f"{attack} left the box [0, 1]: its images lie in [{low:.6g}, {high:.6g}]")
    largest = float(threat.size(adversarial.double() - images.double()).max())
    if not largest <= threat.epsilon * (1 + 1e-5) + 1e-6:
        raise RuntimeError(f"{attack} left the ball: it was allowed {threat} and used {largest:.6g}")


def _sample(classes: Sequence[str]) -> str:
    shown = ", ".join(classes[:5])
    return f"{shown}, ..." if len(classes) > 5 else shown
