"""LoRA: a low-rank branch beside each chosen linear map.

    y = W x + b + (alpha / r) B A x

Source: Hu et al. 2022, arXiv:2106.09685, Section 4. On a fused qkv layer q, k and v have branches of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.pet.base import PETMethod
from robustpeft.pet.placement import check_rank, count_low_rank, place_low_rank

__all__ = ["LoRA"]


@final
@dataclass(frozen=True)
class LoRA(PETMethod):
    """A low-rank branch A (r, in), B (out, r) beside each chosen linear map; mergeable.

    Trained parameters without the head: ``sum over maps of r (in + out)``; on q, k, v, proj, fc1 and fc2 of L blocks of
    width d that is ``18 r d L``.

    Args:
        r: Rank, at least 1 and at most the smaller side of each map.
        alpha: Numerator of the scaling alpha / r; None for alpha = r, a scaling of 1.
        components: Which linear maps, of ``patch_embed, q, k, v, proj, fc1, fc2``.
        dropout: Probability of dropping an input of the branch, in training only.
    """

    mergeable: ClassVar[bool] = True

    r: int = 8
    alpha: float | None = None
    components: tuple[str, ...] = ("q", "v")
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_rank(self.r, self.alpha, self.dropout)

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return the branches; the model is not changed."""
        sites = model.require_seams().select(self.components)
        return place_low_rank(model, sites, self.r, self.alpha, dropout=self.dropout, seed=seed)

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return r (in + out), summed over the maps."""
        return count_low_rank(model, model.require_seams().select(self.components), self.r, with_norm=False)
