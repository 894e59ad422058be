"""AdaptFormer: a small MLP beside the frozen MLP of each block, on the stream before its norm.

    out = r + MLP(LN(r)) + s (W_u dropout(f(W_d r + b_d)) + b_u),    r = x + attention branch of x

Source: Chen et al. 2022, AdaptFormer, arXiv:2205.13535. Defaults, start and input are those of its released code: the
adapter reads r itself, not LN(r), which it would read if the MLP were wrapped. The batch normalisation in front of its
head is left out. Where the MLP branch has a LayerScale, the adapter is added behind it, unscaled. f is a ReLU there; a
GELU, and starts other than W_u = 0, are found in code of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.base import PETMethod
from robustpeft.pet.block_choice import check_blocks, choose_blocks
from robustpeft.pet.bottleneck import (
    Activation,
    Bottleneck,
    BottleneckOptions,
    Start,
    check_bottleneck,
    check_probability,
    count_bottleneck,
)
from robustpeft.pet.inserts import Beside, Insert
from robustpeft.types import Residual, derive_seed

__all__ = ["AdaptFormer"]


@final
@dataclass(frozen=True)
class AdaptFormer(PETMethod):
    """A bottleneck MLP beside the MLP of each block, on the un-normalised stream; not mergeable.

    Trained parameters without the head: ``(2 d m + m + d) L`` for a bottleneck m in L blocks of width d. It is the
    identity at the start if `init` is ``zero``.

    Args:
        bottleneck: Channels m between the two maps, at least 1.
        scale: Factor s of what is added, not 0.
        dropout: Probability of dropping an activated channel, in training only.
        activation: f, ``relu`` or ``gelu``.
        blocks: Indices of the blocks that have one, negative ones from the end; None for all.
        init: ``zero`` (W_u = 0), ``houlsby`` (both matrices truncated normal, sigma 0.01) or ``normal`` (both normal,
            sigma 0.02).
    """

    bottleneck: int = 64
    scale: float = 0.1
    dropout: float = 0.1
    activation: Activation = "relu"
    blocks: tuple[int, ...] | None = None
    init: Start = "zero"

    def __post_init__(self) -> None:
        check_bottleneck(self.bottleneck, self.activation, self.init)
        if self.scale == 0:
            raise UserError("scale must not be 0, which would switch the adapter off")
        check_probability("dropout", self.dropout)
        check_blocks(self.blocks)
        object.__setattr__(self, "identity_at_start", self.init == "zero")

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return nothing: no layer is replaced."""
        return {}

    def inserts(self, model: ImageClassifier, seed: int) -> list[Insert]:
        """Return one adapter per chosen block, at the end of its MLP branch."""
        options = BottleneckOptions(self.bottleneck, self.activation, self.scale, self.dropout, self.init)
        inserts: list[Insert] = []
        for residual in self._branches(model):
            *chain, host = residual.mlp
            adapter = Bottleneck(residual.width, options, derive_seed(seed, host))
            inserts.append(Beside(host, "adapter", adapter, tuple(chain)))
        return inserts

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return 2 d m + m + d, summed over the chosen blocks."""
        return sum(count_bottleneck(residual.width, self.bottleneck) for residual in self._branches(model))

    def _branches(self, model: ImageClassifier) -> list[Residual]:
        residuals = model.require_seams().require_parallel()
        return [residuals[i] for i in choose_blocks(self.blocks, len(residuals))]
