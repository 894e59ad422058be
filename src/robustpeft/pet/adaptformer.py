"""AdaptFormer: a small MLP beside the frozen MLP of each block, on the stream before its norm.

    out = r + MLP(LN(r)) + s (W_u dropout(ReLU(W_d r + b_d)) + b_u),    r = x + attention branch of x

Source: Chen et al. 2022, AdaptFormer, arXiv:2205.13535. Defaults, start and input are those of its released code: the
adapter reads r itself, not LN(r), which it would read if the MLP were wrapped. The batch normalisation in front of its
head is left out. Where the MLP branch has a LayerScale, the adapter is added behind it, unscaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.base import PETMethod
from robustpeft.pet.bottleneck import Bottleneck, BottleneckOptions, check_bottleneck, count_bottleneck
from robustpeft.pet.inserts import Beside, Insert
from robustpeft.types import derive_seed

__all__ = ["AdaptFormer"]


@final
@dataclass(frozen=True)
class AdaptFormer(PETMethod):
    """A bottleneck MLP beside the MLP of each block, on the un-normalised stream; not mergeable.

    Trained parameters without the head: ``(2 d m + m + d) L`` for a bottleneck m in L blocks of width d.

    Args:
        bottleneck: Channels m between the two maps, at least 1.
        scale: Factor s of what is added, not 0.
        dropout: Probability of dropping an activated channel, in training only.
    """

    bottleneck: int = 64
    scale: float = 0.1
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_bottleneck(self.bottleneck)
        if self.scale == 0:
            raise UserError("scale must not be 0, which would switch the adapter off")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout must be in [0, 1); got {self.dropout}")

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return nothing: no layer is replaced."""
        return {}

    def inserts(self, model: ImageClassifier, seed: int) -> list[Insert]:
        """Return one adapter per block, at the end of its MLP branch."""
        options = BottleneckOptions(self.bottleneck, "relu", self.scale, self.dropout)
        inserts: list[Insert] = []
        for residual in model.require_seams().require_residuals():
            *chain, host = residual.mlp
            adapter = Bottleneck(residual.width, options, derive_seed(seed, host))
            inserts.append(Beside(host, "adapter", adapter, tuple(chain)))
        return inserts

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return 2 d m + m + d, summed over the blocks."""
        residuals = model.require_seams().require_residuals()
        return sum(count_bottleneck(residual.width, self.bottleneck) for residual in residuals)
