"""Adapter+: an adapter behind each whole block, with a trained scale for each channel.

    h -> h + s * (W_u GELU(W_d h + b_d) + b_u),    s in R^d, 1 at the start

Source: Steitz and Roth 2024, Adapters Strike Back, arXiv:2406.06820. Place, start (both matrices normal with sigma
0.01, cut off at two sigma; not the identity), scale, stochastic depth and defaults are those of its released code.
Difference: the stochastic depth of the frozen network itself, which that code also has in tuning, stays off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.pet.base import PETMethod
from robustpeft.pet.block_choice import check_blocks, choose_blocks
from robustpeft.pet.bottleneck import (
    Bottleneck,
    BottleneckOptions,
    check_bottleneck,
    check_probability,
    count_bottleneck,
)
from robustpeft.pet.inserts import After, Insert
from robustpeft.types import derive_seed

__all__ = ["AdapterPlus"]


@final
@dataclass(frozen=True)
class AdapterPlus(PETMethod):
    """A bottleneck MLP with a scale per channel behind each block; neither mergeable nor the identity at start.

    Trained parameters without the head: ``(2 d m + m + 2 d) L`` for a bottleneck m in L blocks of width d.

    Args:
        bottleneck: Channels m between the two maps, at least 1.
        drop_path: Probability of dropping the adapter's increment for an image, in training only.
        blocks: Indices of the blocks that have one, negative ones from the end; None for all.
    """

    identity_at_start: ClassVar[bool] = False

    bottleneck: int = 8
    drop_path: float = 0.1
    blocks: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_bottleneck(self.bottleneck)
        check_probability("drop_path", self.drop_path)
        check_blocks(self.blocks)

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return nothing: no layer is replaced."""
        return {}

    def inserts(self, model: ImageClassifier, seed: int) -> list[Insert]:
        """Return one adapter per chosen block."""
        options = BottleneckOptions(
            self.bottleneck, "gelu", init="houlsby", channel_scale=True, drop_path=self.drop_path
        )
        return [
            After(block, "adapter", Bottleneck(width, options, derive_seed(seed, block)))
            for block, width in self._places(model)
        ]

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return 2 d m + m + 2 d, summed over the chosen blocks."""
        return sum(count_bottleneck(width, self.bottleneck, channel_scale=True) for _, width in self._places(model))

    def _places(self, model: ImageClassifier) -> list[tuple[str, int]]:
        seams = model.require_seams()
        residuals = seams.require_residuals()
        return [(seams.blocks[i], residuals[i].width) for i in choose_blocks(self.blocks, len(seams.blocks))]
