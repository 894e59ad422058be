"""Where does a low-rank branch go, and how many parameters does it have there?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.low_rank import Branch, BranchOptions, LowRankConv, LowRankLinear
from robustpeft.types import Site, derive_seed

__all__ = ["check_norm_eps", "check_rank", "count_low_rank", "place_low_rank"]


def check_rank(r: int, alpha: float | None, dropout: float) -> None:
    """Raise unless the rank, the scaling and the dropout of a low-rank branch mean something."""
    if r < 1 or r != int(r):
        raise UserError(f"r must be at least 1; got {r}")
    if alpha is not None and not (math.isfinite(alpha) and alpha > 0):
        raise UserError(f"alpha must be positive; got {alpha} (a scaling of 0 would switch the branch off)")
    if not 0 <= dropout < 1:
        raise UserError(f"dropout must be in [0, 1); got {dropout}")


def check_norm_eps(eps: float) -> None:
    """Raise unless `eps` can be added to a variance."""
    if eps <= 0:
        raise UserError(f"the eps of a LayerNorm must be positive; got {eps}")


def place_low_rank(
    model: ImageClassifier,
    sites: Sequence[Site],
    r: int,
    alpha: float | None,
    *,
    dropout: float = 0.0,
    norm_eps: float | None = None,
    seed: int = 0,
) -> dict[str, nn.Module]:
    """Return one module per adapted layer, by its path, with a branch for each of its sites.

    Raises:
        UserError: If r is larger than a side of a map, or a layer is of a kind that cannot be wrapped.
    """
    modules: dict[str, nn.Module] = {}
    scaling = (r if alpha is None else alpha) / r
    for path in dict.fromkeys(site.module for site in sites):
        here = [site for site in sites if site.module == path]
        for site in here:
            sides = _sides(model, site)
            if r > min(sides):
                raise UserError(
                    f"r = {r} is larger than the {min(sides)} of {path} ({site.component}: {sides[0]} to {sides[1]})"
                )
        branches = tuple(Branch(site.component, r, scaling, site.part) for site in here)
        options = BranchOptions(norm_eps, dropout, derive_seed(seed, path))
        modules[path] = _wrap(model.network.get_submodule(path), path, branches, options)
    return modules


def count_low_rank(model: ImageClassifier, sites: Sequence[Site], r: int, *, with_norm: bool) -> int:
    """Return ``sum over sites of r (in + out)``, plus ``2 in`` with a LayerNorm."""
    total = 0
    for site in sites:
        inputs, outputs = _sides(model, site)
        total += r * (inputs + outputs) + (2 * inputs if with_norm else 0)
    return total


def _sides(model: ImageClassifier, site: Site) -> tuple[int, int]:
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
