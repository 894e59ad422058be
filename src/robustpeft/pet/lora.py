"""LoRA: a low-rank branch beside each chosen linear map.

    y = W x + b + s B A x,    s = alpha / r, or alpha / sqrt(r) with rslora

Source: Hu et al. 2022, arXiv:2106.09685, Section 4; Kalajdzievski 2023, arXiv:2312.03732, for the square root. On a
fused qkv layer q, k and v have branches of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.pet.base import PETMethod
from robustpeft.pet.block_choice import check_blocks
from robustpeft.pet.placement import BranchSettings, check_rank, count_low_rank, place_low_rank
from robustpeft.pet.rank_rules import RankRule, ranked_sites
from robustpeft.types import Site

__all__ = ["LoRA"]


@final
@dataclass(frozen=True)
class LoRA(PETMethod):
    """A low-rank branch A (r, in), B (out, r) beside each chosen linear map; mergeable.

    Trained parameters without the head: ``sum over maps of r (in + out)``; on q, k, v, proj, fc1 and fc2 of L blocks of
    width d that is ``18 r d L``.

    Args:
        r: Rank, at least 1 and at most the smaller side of each map.
        alpha: Numerator of the scaling; None for alpha = r, also where `rank_pattern` gives another r.
        components: Which linear maps, of ``patch_embed, q, k, v, proj, fc1, fc2, head``, and ``reduction`` in Swin. The
            head is trained as a whole unless it is among them: then it is frozen, and its branch is trained.
        dropout: Probability of dropping an input of the branch, in training only.
        blocks: Which blocks, negative ones counted from the end; None for all.
        rslora: The scaling is alpha / sqrt(r) instead of alpha / r.
        rank_pattern: Other ranks for some maps; where several rules hold, the last decides.
    """

    mergeable: ClassVar[bool] = True

    r: int = 8
    alpha: float | None = None
    components: tuple[str, ...] = ("q", "v")
    dropout: float = 0.0
    blocks: tuple[int, ...] | None = None
    rslora: bool = False
    rank_pattern: tuple[RankRule, ...] = ()

    def __post_init__(self) -> None:
        check_rank(self.r, self.alpha, self.dropout)
        check_blocks(self.blocks)

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return the branches; the model is not changed."""
        settings = BranchSettings(self.alpha, self.rslora, self.dropout)
        return place_low_rank(model, self._ranks(model), settings, seed)

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return r (in + out), summed over the maps."""
        return count_low_rank(model, self._ranks(model))

    def _ranks(self, model: ImageClassifier) -> dict[Site, int]:
        return ranked_sites(model.require_seams(), self.components, self.blocks, self.r, self.rank_pattern)
