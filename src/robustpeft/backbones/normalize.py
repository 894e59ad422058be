"""Where are mean and standard deviation? Here, in front of the network, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustpeft.errors import UserError

__all__ = ["Normalize"]


class Normalize(nn.Module):
    """Maps images (b, 3, h, w) in [0, 1] to ``(images - mean) / std``.

    Args:
        mean: One value per channel, in pixel units on [0, 1].
        std: One positive value per channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if not (_is_triple(mean) and _is_triple(std) and all(v > 0 for v in std)):
            raise UserError(f"normalisation needs 3 means and 3 positive deviations; got {mean}, {std}")
        if max(abs(v) for v in (*mean, *std)) > 8:
            raise UserError(f"mean and std must be in pixel units on [0, 1]; got {mean}, {std}: divide by 255")
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the normalised images."""
        return (images - self.mean) / self.std

    def extra_repr(self) -> str:
        """Return the values, for printing."""
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


def _is_triple(values: Any) -> bool:
    return isinstance(values, Sequence) and len(values) == 3 and all(math.isfinite(v) for v in values)
