"""How are low-rank branches put beside the chosen linear maps, and how many parameters do they have there?"""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError, nearest_hint
from robustpeft.pet.low_rank import LowRankConv, LowRankLinear
from robustpeft.pet.low_rank_branches import Branch, BranchOptions, Norm
from robustpeft.types import Site, derive_seed

__all__ = ["BranchSettings", "check_norm", "check_rank", "count_low_rank", "place_low_rank", "sides_of"]


@dataclass(frozen=True)
class BranchSettings:
    """What all branches of one technique share.

    Args:
        alpha: Numerator of the scaling; None for alpha = r, whatever the rank of the map.
        rslora: The scaling is alpha / sqrt(r) instead of alpha / r.
        dropout: Probability of dropping an input of a branch, in training only.
        norm: Where the LayerNorm stands.
        affine: Its gamma and beta are learned.
        norm_eps: Added to its variance.
    """

    alpha: float | None = None
    rslora: bool = False
    dropout: float = 0.0
    norm: Norm = "none"
    affine: bool = True
    norm_eps: float = 1e-5

    def scaling(self, r: int) -> float:
        """Return alpha / r, or alpha / sqrt(r)."""
        return (r if self.alpha is None else self.alpha) / (math.sqrt(r) if self.rslora else r)


def check_rank(r: int, alpha: float | None, dropout: float) -> None:
    """Raise unless the rank, the scaling and the dropout of a low-rank branch mean something."""
    if r < 1 or r != int(r):
        raise UserError(f"r must be at least 1; got {r}")
    if alpha is not None and not (math.isfinite(alpha) and alpha > 0):
        raise UserError(f"alpha must be positive; got {alpha} (a scaling of 0 would switch the branch off)")
    if not 0 <= dropout < 1:
        raise UserError(f"dropout must be in [0, 1); got {dropout}")


def check_norm(norm: str, affine: bool, eps: float) -> None:
    """Raise unless the LayerNorm of a low-rank branch means something."""
    if norm not in typing.get_args(Norm):
        raise UserError(f"unknown norm {norm!r}; {nearest_hint(norm, typing.get_args(Norm))}")
    if norm == "after" and not affine:
        raise UserError(
            "norm 'after' needs affine: without a gamma that starts at 0 the branch would answer with unit variance "
            "from the first step on, however small that step"
        )
    if eps <= 0:
        raise UserError(f"the eps of a LayerNorm must be positive; got {eps}")


def place_low_rank(
    model: ImageClassifier, ranks: Mapping[Site, int], settings: BranchSettings, seed: int = 0
) -> dict[str, nn.Module]:
    """Return one module per adapted layer, by its path, with a branch for each of its sites.

    Raises:
        UserError: If a rank is larger than a side of its map, or a layer is of a kind that cannot be wrapped.
    """
    modules: dict[str, nn.Module] = {}
    for path in dict.fromkeys(site.module for site in ranks):
        here = {site: r for site, r in ranks.items() if site.module == path}
        for site, r in here.items():
            sides = sides_of(model, site)
            if r > min(sides):
                raise UserError(
                    f"r = {r} is larger than the {min(sides)} of {path} ({site.component}: {sides[0]} to {sides[1]})"
                )
        branches = tuple(Branch(site.component, r, settings.scaling(r), site.part) for site, r in here.items())
        options = BranchOptions(
            settings.norm, settings.affine, settings.norm_eps, settings.dropout, derive_seed(seed, path)
        )
        modules[path] = _wrap(model.network.get_submodule(path), path, branches, options)
    return modules


def count_low_rank(model: ImageClassifier, ranks: Mapping[Site, int], norm: Norm = "none", affine: bool = True) -> int:
    """Return ``sum over sites of r (in + out)``, plus ``2 in`` with a LayerNorm before, ``2 out`` with one after."""
    total = 0
    for site, r in ranks.items():
        inputs, outputs = sides_of(model, site)
        width = {"before": inputs, "none": 0, "after": outputs}[norm]
        total += r * (inputs + outputs) + (2 * width if affine else 0)
    return total


def sides_of(model: ImageClassifier, site: Site) -> tuple[int, int]:
    """Return the inputs and outputs of a linear map."""
    weight = model.network.get_submodule(site.module).weight
    assert isinstance(weight, nn.Parameter)
    return weight[0].numel(), weight.shape[0] // (site.part[1] if site.part else 1)


def _wrap(layer: nn.Module, path: str, branches: tuple[Branch, ...], options: BranchOptions) -> nn.Module:
    if isinstance(layer, nn.Linear):
        return LowRankLinear(layer, branches, options)
    if isinstance(layer, nn.Conv2d):
        if (
            tuple(layer.stride) != tuple(layer.kernel_size)
            or layer.padding not in ((0, 0), "valid")
            or layer.groups != 1
        ):
            raise UserError(
                f"{path} is a convolution with overlapping, padded or grouped windows; leave out patch_embed"
            )
        return LowRankConv(layer, branches, options)
    raise UserError(f"{path} is a {type(layer).__name__}; low-rank branches go beside Linear and patch embeddings")
