"""Did a search stay within its threat? If not it is wrong, and what it found must not count."""

from __future__ import annotations

import torch
from torch import Tensor

from robustpeft.types import Threat

__all__ = ["check_within"]


def check_within(adversarial: Tensor, images: Tensor, threat: Threat, attack: str) -> None:
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
