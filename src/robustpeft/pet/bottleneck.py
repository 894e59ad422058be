"""What do adapters have in common? A small MLP through a bottleneck, added to the tokens: ``h + s W_u f(W_d z)``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustpeft.errors import UserError

__all__ = ["Bottleneck", "BottleneckOptions", "check_bottleneck", "count_bottleneck"]


@dataclass(frozen=True)
class BottleneckOptions:
    """What all adapters of a technique share.

    Args:
        bottleneck: Channels m between the two maps.
        activation: Of these channels.
        scale: Factor s of the increment.
        dropout: Probability of dropping an activated channel, in training only.
    """

    bottleneck: int
    activation: Literal["gelu", "relu"]
    scale: float = 1.0
    dropout: float = 0.0


class Bottleneck(nn.Module):
    """Adds ``s W_u dropout(f(W_d z + b_d)) + s b_u`` to tokens (..., d).

    W_d starts Kaiming-uniform (uniform on +-1/sqrt(d)), the rest at 0, so the increment starts at 0. W_d must not start
    at 0 too: f(0) = 0, and neither matrix would ever receive a gradient.
    """

    def __init__(self, width: int, options: BottleneckOptions, seed: int) -> None:
        super().__init__()
        self.options = options
        self.down = nn.Linear(width, options.bottleneck, device="meta").to_empty(device="cpu")
        self.up = nn.Linear(options.bottleneck, width, device="meta").to_empty(device="cpu")
        bound = 1.0 / math.sqrt(width)
        with torch.no_grad():
            self.down.weight.uniform_(-bound, bound, generator=torch.Generator().manual_seed(seed))
            for zero in (self.down.bias, self.up.weight, self.up.bias):
                zero.zero_()
        self.dropout = nn.Dropout(options.dropout)
        self.enabled = True

    def forward(self, tokens: Tensor, stream: Tensor | None = None) -> Tensor:
        """Return the tokens plus the increment computed from `stream`, from the tokens themselves by default."""
        if not self.enabled:
            return tokens
        inputs = (tokens if stream is None else stream).to(self.down.weight.dtype)
        hidden: Tensor = self.down(inputs)
        hidden = F.relu(hidden) if self.options.activation == "relu" else F.gelu(hidden)
        increment: Tensor = self.options.scale * self.up(self.dropout(hidden))
        return tokens + increment.to(tokens.dtype)


def check_bottleneck(bottleneck: int) -> None:
    """Raise unless there is at least one channel."""
    if bottleneck < 1:
        raise UserError(f"bottleneck must be at least 1; got {bottleneck}")


def count_bottleneck(width: int, bottleneck: int) -> int:
    """Return ``2 d m + m + d``."""
    return 2 * width * bottleneck + bottleneck + width
