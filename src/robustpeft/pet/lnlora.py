"""LNLoRA: a learnable LayerNorm in front of each low-rank branch.

    y = W x + b + (alpha / r) B A LN(x),    LN(x) = gamma * (x - mean(x)) / sqrt(var(x) + eps) + beta

Source: Yuan, Zhang and Shan 2024, FullLoRA-AT, arXiv:2401.01752 (abstract: "a learnable layer normalization before the
conventional LoRA module"). Not known from it and therefore ours: one LayerNorm per branch, gamma = 1, beta = 0, A
Kaiming-uniform, B = 0, scaling alpha / r. Because LN(x) depends on x, the branch cannot be merged into W.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.pet.base import PETMethod
from robustpeft.pet.placement import check_norm_eps, check_rank, count_low_rank, place_low_rank

__all__ = ["LNLoRA"]


@final
@dataclass(frozen=True)
class LNLoRA(PETMethod):
    """LoRA behind a learnable LayerNorm, beside each chosen linear map; not mergeable.

    Trained parameters without the head: ``sum over maps of r (in + out) + 2 in``; on q, k, v, proj, fc1 and fc2 of L
    blocks of width d that is ``(18 r d + 18 d) L``.

    Args:
        r: Rank, at least 1 and at most the smaller side of each map.
        alpha: Numerator of the scaling alpha / r; None for alpha = r, a scaling of 1.
        components: Which linear maps, of ``patch_embed, q, k, v, proj, fc1, fc2``.
        dropout: Probability of dropping an input of the branch behind the LayerNorm, in training only.
        norm_eps: Added to the variance in the LayerNorm.
    """

    r: int = 8
    alpha: float | None = None
    components: tuple[str, ...] = ("q", "k", "v", "proj", "fc1", "fc2")
    dropout: float = 0.0
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        check_rank(self.r, self.alpha, self.dropout)
        check_norm_eps(self.norm_eps)

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return the branches; the model is not changed."""
        sites = model.require_seams().select(self.components)
        return place_low_rank(model, sites, self.r, self.alpha, dropout=self.dropout, norm_eps=self.norm_eps, seed=seed)

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return r (in + out) + 2 in, summed over the maps."""
        return count_low_rank(model, model.require_seams().select(self.components), self.r, with_norm=True)
