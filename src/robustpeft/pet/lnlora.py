"""LNLoRA: a learnable LayerNorm in front of each low-rank branch.

    y = W x + b + s B A LN(x),    LN(x) = gamma * (x - mean(x)) / sqrt(var(x) + eps) + beta

Source: Yuan, Zhang and Shan 2024, FullLoRA-AT, arXiv:2401.01752 (abstract: "a learnable layer normalization before the
conventional LoRA module"). Not known from it and therefore ours: one LayerNorm per branch, gamma = 1, beta = 0, A
Kaiming-uniform, B = 0, scaling alpha / r. Because LN(x) depends on x, the branch cannot be merged into W.

For ablations the LayerNorm can be left out, or stand after the branch, ``s LN(B A x)`` over the outputs, which is how
we read the counterpart of "before the LoRA module". There gamma starts at 0 and B at random, the other way round than
before: LN(0) would have a slope of 1/sqrt(eps). (Another reading, a norm of the r numbers A x, is not offered.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.pet.base import PETMethod
from robustpeft.pet.block_choice import check_blocks
from robustpeft.pet.low_rank_branches import Norm
from robustpeft.pet.placement import BranchSettings, check_norm, check_rank, count_low_rank, place_low_rank
from robustpeft.pet.rank_rules import RankRule, ranked_sites
from robustpeft.types import Site

__all__ = ["LNLoRA"]


@final
@dataclass(frozen=True)
class LNLoRA(PETMethod):
    """LoRA behind a learnable LayerNorm, beside each chosen linear map; mergeable only without the norm.

    Trained parameters without the head: ``sum over maps of r (in + out) + 2 in``; on q, k, v, proj, fc1 and fc2 of L
    blocks of width d that is ``(18 r d + 18 d) L``. With the norm after the branch it is ``2 out`` instead of ``2 in``,
    and neither without the norm or without its affine part.

    Args:
        r: Rank, at least 1 and at most the smaller side of each map.
        alpha: Numerator of the scaling; None for alpha = r, also where `rank_pattern` gives another r.
        components: Which linear maps, of ``patch_embed, q, k, v, proj, fc1, fc2``.
        dropout: Probability of dropping an input of A (behind the LayerNorm, if that is before), in training only.
        norm_eps: Added to the variance in the LayerNorm.
        norm: Where the LayerNorm stands: ``before`` the branch, ``none``, or ``after`` it.
        affine: gamma and beta are learned; otherwise they stay 1 and 0, which ``after`` does not allow.
        blocks: Which blocks, negative ones counted from the end; None for all.
        rslora: The scaling is alpha / sqrt(r) instead of alpha / r.
        rank_pattern: Other ranks for some maps; where several rules hold, the last decides.
    """

    r: int = 8
    alpha: float | None = None
    components: tuple[str, ...] = ("q", "k", "v", "proj", "fc1", "fc2")
    dropout: float = 0.0
    norm_eps: float = 1e-5
    norm: Norm = "before"
    affine: bool = True
    blocks: tuple[int, ...] | None = None
    rslora: bool = False
    rank_pattern: tuple[RankRule, ...] = ()

    def __post_init__(self) -> None:
        check_rank(self.r, self.alpha, self.dropout)
        check_norm(self.norm, self.affine, self.norm_eps)
        check_blocks(self.blocks)
        object.__setattr__(self, "mergeable", self.norm == "none")

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return the branches; the model is not changed."""
        settings = BranchSettings(self.alpha, self.rslora, self.dropout, self.norm, self.affine, self.norm_eps)
        return place_low_rank(model, self._ranks(model), settings, seed)

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return r (in + out) and what the LayerNorm has, summed over the maps."""
        return count_low_rank(model, self._ranks(model), self.norm, self.affine)

    def _ranks(self, model: ImageClassifier) -> dict[Site, int]:
        return ranked_sites(model.require_seams(), self.components, self.blocks, self.r, self.rank_pattern)
