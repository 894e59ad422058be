"""FullLoRA: LNLoRA on every key component of a ViT, the head trained too.

Source: Yuan, Zhang, Shan and Chen 2025, FullLoRA, arXiv:2401.01752 ("integrating the LNLoRA modules into all the key
components of ViT-based models"). Which components these are is not itemised in what is known of the paper; here they
are every linear map between the pixels and the head, each of which can be left out.
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
from robustpeft.types import COMPONENTS, Site

__all__ = ["FullLoRA"]


@final
@dataclass(frozen=True)
class FullLoRA(PETMethod):
    """A low-rank branch behind a learnable LayerNorm beside every linear map of the network; not mergeable.

    Each part of it can be switched off or moved for ablations; without the norm it is plain LoRA everywhere, mergeable.

    At the patch embedding the LayerNorm acts on the unfolded patch. Over raw pixels it divides by the contrast of the
    patch, so a perturbation of a nearly constant patch is amplified by up to ``1 / sqrt(patch_embed_eps)``; that eps is
    therefore a switch of its own, in squared units of the normalised input (docs/decisions/0003).

    Trained parameters without the head: ``sum over maps of r (in + out) + 2 in``: ``(18 r d + 18 d) L`` for L blocks of
    width d, and ``r (3 p^2 + d) + 6 p^2`` for patches of p pixels. With the norm after the branch it is ``2 out``
    instead of ``2 in``, and neither without the norm or without its affine part.

    Args:
        r: Rank, at least 1 and at most the smaller side of each map.
        alpha: Numerator of the scaling; None for alpha = r, also where `rank_pattern` gives another r.
        patch_embed: Adapt the patch embedding.
        q: Adapt the queries.
        k: Adapt the keys.
        v: Adapt the values.
        proj: Adapt the projection behind the attention.
        fc1: Adapt the first layer of the MLPs.
        fc2: Adapt the second layer of the MLPs.
        reduction: Adapt the maps that merge tokens between stages, in a network that has stages.
        dropout: Probability of dropping an input of A (behind the LayerNorm, if that is before), in training only.
        norm_eps: Added to the variance in the LayerNorms of the blocks.
        patch_embed_eps: Added to the variance in the LayerNorm of the patch embedding.
        norm: Where the LayerNorms stand: ``before`` the branch, ``none``, or ``after`` it (as in `LNLoRA`).
        affine: gamma and beta are learned; otherwise they stay 1 and 0, which ``after`` does not allow.
        blocks: Which blocks, negative ones counted from the end; None for all. Maps outside the blocks stay.
        rslora: The scaling is alpha / sqrt(r) instead of alpha / r.
        rank_pattern: Other ranks for some maps; where several rules hold, the last decides.
    """

    r: int = 8
    alpha: float | None = None
    patch_embed: bool = True
    q: bool = True
    k: bool = True
    v: bool = True
    proj: bool = True
    fc1: bool = True
    fc2: bool = True
    reduction: bool = True
    dropout: float = 0.0
    norm_eps: float = 1e-5
    patch_embed_eps: float = 0.1
    norm: Norm = "before"
    affine: bool = True
    blocks: tuple[int, ...] | None = None
    rslora: bool = False
    rank_pattern: tuple[RankRule, ...] = ()

    def __post_init__(self) -> None:
        check_rank(self.r, self.alpha, self.dropout)
        check_norm(self.norm, self.affine, self.norm_eps)
        check_norm(self.norm, self.affine, self.patch_embed_eps)
        check_blocks(self.blocks)
        object.__setattr__(self, "mergeable", self.norm == "none")

    @property
    def components(self) -> tuple[str, ...]:
        """The components of a ViT that are switched on."""
        return tuple(name for name in COMPONENTS if getattr(self, name))

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return the branches; the model is not changed."""
        ranks = self._ranks(model)
        modules: dict[str, nn.Module] = {}
        for outside, eps in ((True, self.patch_embed_eps), (False, self.norm_eps)):
            chosen = {site: r for site, r in ranks.items() if (site.component == "patch_embed") is outside}
            settings = BranchSettings(self.alpha, self.rslora, self.dropout, self.norm, self.affine, eps)
            modules |= place_low_rank(model, chosen, settings, seed)
        return modules

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return r (in + out) and what the LayerNorm has, summed over the maps."""
        return count_low_rank(model, self._ranks(model), self.norm, self.affine)

    def _ranks(self, model: ImageClassifier) -> dict[Site, int]:
        seams = model.require_seams()
        stages = ("reduction",) if self.reduction and "reduction" in seams.components else ()
        return ranked_sites(seams, (*self.components, *stages), self.blocks, self.r, self.rank_pattern)
