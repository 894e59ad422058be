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
from robustpeft.pet.placement import check_norm_eps, check_rank, count_low_rank, place_low_rank
from robustpeft.types import COMPONENTS

__all__ = ["FullLoRA"]


@final
@dataclass(frozen=True)
class FullLoRA(PETMethod):
    """A low-rank branch behind a learnable LayerNorm beside every linear map of the network; not mergeable.

    At the patch embedding the LayerNorm acts on the unfolded patch. Over raw pixels it divides by the contrast of the
    patch, so a perturbation of a nearly constant patch is amplified by up to ``1 / sqrt(patch_embed_eps)``; that eps is
    therefore a switch of its own, in squared units of the normalised input (docs/decisions/0003).

    Trained parameters without the head: ``sum over maps of r (in + out) + 2 in``: ``(18 r d + 18 d) L`` for L blocks of
    width d, and ``r (3 p^2 + d) + 6 p^2`` for patches of p pixels.

    Args:
        r: Rank, at least 1 and at most the smaller side of each map.
        alpha: Numerator of the scaling alpha / r; None for alpha = r, a scaling of 1.
        patch_embed: Adapt the patch embedding.
        q: Adapt the queries.
        k: Adapt the keys.
        v: Adapt the values.
        proj: Adapt the projection behind the attention.
        fc1: Adapt the first layer of the MLPs.
        fc2: Adapt the second layer of the MLPs.
        dropout: Probability of dropping an input of the branch behind the LayerNorm, in training only.
        norm_eps: Added to the variance in the LayerNorms of the blocks.
        patch_embed_eps: Added to the variance in the LayerNorm of the patch embedding.
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
    dropout: float = 0.0
    norm_eps: float = 1e-5
    patch_embed_eps: float = 0.1

    def __post_init__(self) -> None:
        check_rank(self.r, self.alpha, self.dropout)
        check_norm_eps(self.norm_eps)
        check_norm_eps(self.patch_embed_eps)

    @property
    def components(self) -> tuple[str, ...]:
        """The components that are switched on."""
        return tuple(name for name in COMPONENTS if getattr(self, name))

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return the branches; the model is not changed."""
        sites = model.require_seams().select(self.components)
        modules: dict[str, nn.Module] = {}
        for outside, eps in ((True, self.patch_embed_eps), (False, self.norm_eps)):
            chosen = [site for site in sites if (site.component == "patch_embed") is outside]
            modules |= place_low_rank(model, chosen, self.r, self.alpha, dropout=self.dropout, norm_eps=eps, seed=seed)
        return modules

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return r (in + out) + 2 in, summed over the maps."""
        return count_low_rank(model, model.require_seams().select(self.components), self.r, with_norm=True)
