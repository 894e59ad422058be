"""What do adapters have in common? A small MLP through a bottleneck, added to the tokens: ``h + s W_u f(W_d z)``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustpeft.errors import UserError, nearest_hint

__all__ = [
    "Activation",
    "Bottleneck",
    "BottleneckOptions",
    "Start",
    "check_bottleneck",
    "check_probability",
    "count_bottleneck",
]

Activation = Literal["gelu", "relu"]
Start = Literal["zero", "houlsby", "normal"]


@dataclass(frozen=True)
class BottleneckOptions:
    """What all adapters of a technique share.

    Args:
        bottleneck: Channels m between the two maps.
        activation: Of these channels.
        scale: Factor s of the increment.
        dropout: Probability of dropping an activated channel, in training only.
        init: Where W_d and W_u start, see `Bottleneck`; all biases start at 0.
        channel_scale: Besides s, a trained factor for each of the d channels of the increment, which starts at 1.
        drop_path: Probability of dropping the whole increment of an image, in training only.
    """

    bottleneck: int
    activation: Activation
    scale: float = 1.0
    dropout: float = 0.0
    init: Start = "zero"
    channel_scale: bool = False
    drop_path: float = 0.0


class Bottleneck(nn.Module):
    """Adds ``s W_u dropout(f(W_d z + b_d)) + s b_u`` to tokens (..., d).

    The starts of the two matrices; the biases start at 0 in each:

        zero       W_d Kaiming-uniform (uniform on +-1/sqrt(d)), W_u = 0: the increment starts at 0. W_d must not start
                   at 0 too: f(0) = 0, and neither matrix would ever receive a gradient.
        houlsby    both normal with sigma 0.01, cut off at two sigma
        normal     both normal with sigma 0.02, as timm starts every linear map of a new ViT
    """

    def __init__(self, width: int, options: BottleneckOptions, seed: int) -> None:
        super().__init__()
        self.options = options
        self.down = nn.Linear(width, options.bottleneck, device="meta").to_empty(device="cpu")
        self.up = nn.Linear(options.bottleneck, width, device="meta").to_empty(device="cpu")
        self.channel_scale = nn.Parameter(torch.ones(width)) if options.channel_scale else None
        self._start(1.0 / math.sqrt(width), torch.Generator().manual_seed(seed))
        self.dropout = nn.Dropout(options.dropout)
        self.drop_path = nn.Dropout(options.drop_path)
        self.enabled = True

    def forward(self, tokens: Tensor, stream: Tensor | None = None) -> Tensor:
        """Return the tokens plus the increment computed from `stream`, from the tokens themselves by default."""
        if not self.enabled:
            return tokens
        inputs = (tokens if stream is None else stream).to(self.down.weight.dtype)
        hidden: Tensor = self.down(inputs)
        hidden = F.relu(hidden) if self.options.activation == "relu" else F.gelu(hidden)
        increment: Tensor = self.options.scale * self.up(self.dropout(hidden))
        if self.channel_scale is not None:
            increment = self.channel_scale * increment
        if self.options.drop_path:
            increment = increment * self.drop_path(increment.new_ones(len(tokens), *[1] * (tokens.dim() - 1)))
        return tokens + increment.to(tokens.dtype)

    @torch.no_grad()
    def _start(self, bound: float, generator: torch.Generator) -> None:
        self.down.bias.zero_()
        self.up.bias.zero_()
        if self.options.init == "zero":
            self.down.weight.uniform_(-bound, bound, generator=generator)
            self.up.weight.zero_()
            return
        for matrix in (self.down.weight, self.up.weight):
            if self.options.init == "houlsby":
                nn.init.trunc_normal_(matrix, std=0.01, a=-0.02, b=0.02, generator=generator)
            else:
                matrix.normal_(std=0.02, generator=generator)


def check_bottleneck(bottleneck: int, activation: str = "gelu", init: str = "zero") -> None:
    """Raise unless there is at least one channel, and its activation and start are known."""
    if bottleneck < 1:
        raise UserError(f"bottleneck must be at least 1; got {bottleneck}")
    for word, given, known in (("activation", activation, get_args(Activation)), ("init", init, get_args(Start))):
        if given not in known:
            raise UserError(f"unknown {word} {given!r}; {nearest_hint(given, known)}")


def check_probability(name: str, value: float) -> None:
    """Raise unless `value` is a probability of dropping that leaves something."""
    if not 0 <= value < 1:
        raise UserError(f"{name} must be in [0, 1); got {value}")


def count_bottleneck(width: int, bottleneck: int, *, channel_scale: bool = False) -> int:
    """Return ``2 d m + m + d``, and d more with a scale per channel."""
    return 2 * width * bottleneck + bottleneck + width + (width if channel_scale else 0)
