"""Where would low-rank branches do most? Where the loss at given images, say adversarial ones, pulls hardest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.placement import sides_of
from robustpeft.pet.rank_rules import RankRule
from robustpeft.types import Site, check_images, check_labels, frozen_twin

__all__ = ["rank_map"]


def rank_map(
    model: ImageClassifier,
    images: Tensor,
    labels: Tensor,
    *,
    components: Sequence[str] = ("q", "k", "v", "proj", "fc1", "fc2"),
    mean_r: float = 8.0,
) -> tuple[RankRule, ...]:
    """Return ranks in proportion to how hard the loss pulls at each linear map, for `rank_pattern` of LoRA and others.

    ``score = ||d mean cross-entropy / d W||``, the Frobenius norm over the rows of the map; the ranks sum to mean_r
    times the number of maps (rounded by largest remainders), none exceeds the smaller side of its map, and a map may
    get 0, which leaves it out. The network is in eval mode and is not changed; the same images give the same map. To
    find where it is vulnerable, give images of an attack such as FGSM, on training data.

    Args:
        model: Before anything is attached.
        images: (b, 3, h, w) in [0, 1].
        labels: (b,).
        components: Which linear maps share the ranks; the technique must adapt the same ones.
        mean_r: Mean rank over these maps.

    Raises:
        UserError: If something is attached, the ranks do not fit into the maps, or the gradient is 0 or not finite.

    Cost:
        One forward and one backward pass.

    Source:
        Ours. Ranks by importance are found while tuning in AdaLoRA, Zhang et al. 2023, arXiv:2303.10512.
    """
    check_images(images)
    check_labels(labels, model.num_classes, len(images))
    if model.attachments:
        raise UserError("a rank map is of the bare network, but something is attached to the model; detach it first")
    sites = model.require_seams().select(components)
    limits = [min(sides_of(model, site)) for site in sites]
    total = round(mean_r * len(sites))
    if not 1 <= total <= sum(limits):
        most = sum(limits) / len(sites)
        raise UserError(
            f"mean_r must be positive and at most {most:g}, the mean smaller side of the maps; got {mean_r}"
        )
    ranks = _shared(total, _scores(model, sites, images, labels), limits)
    return _rules(dict(zip(sites, ranks, strict=True)))


def _scores(model: ImageClassifier, sites: Sequence[Site], images: Tensor, labels: Tensor) -> list[float]:
    twin = frozen_twin(model)
    assert isinstance(twin, ImageClassifier)
    weights: dict[str, nn.Parameter] = {}
    for path in dict.fromkeys(site.module for site in sites):
        weight = twin.network.get_submodule(path).weight
        assert isinstance(weight, nn.Parameter)
        weight.requires_grad_(True)  # the twin's own parameter: it shares the values alone
        weights[path] = weight
    with torch.enable_grad():
        loss = F.cross_entropy(twin(images), labels)
        gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
    scores = []
    for site in sites:
        index, parts = site.part or (0, 1)
        scores.append(float(gradients[site.module].chunk(parts)[index].double().norm()))
    if not all(map(math.isfinite, scores)) or not any(scores):
        raise UserError(f"the gradient of the loss is {'0' if not any(scores) else 'not finite'} at these images")
    return scores


def _shared(total: int, scores: Sequence[float], limits: Sequence[int]) -> list[int]:
    """Return whole numbers in proportion to the scores that sum to `total`, none above its limit.

    What a limit cuts off is shared among the others, again in proportion; if all of these score 0, evenly.
    """
    shares = [0.0] * len(scores)
    open_, left = set(range(len(scores))), float(total)
    while open_ and left > 0:
        weight = {i: scores[i] for i in open_}
        if not any(weight.values()):
            weight = dict.fromkeys(open_, 1.0)
        whole = sum(weight.values())
        full = [i for i in sorted(open_) if left * weight[i] / whole >= limits[i]]
        if not full:
            for i in open_:
                shares[i] = left * weight[i] / whole
            break
        for i in full:
            shares[i] = limits[i]
        open_ -= set(full)
        left = total - sum(shares)
    ranks = [math.floor(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: (ranks[i] - shares[i], i))
    for i in [i for i in by_remainder if ranks[i] < limits[i]][: total - sum(ranks)]:
        ranks[i] += 1
    return ranks


def _rules(ranks: dict[Site, int]) -> tuple[RankRule, ...]:
    """Return one rule per component and rank, in the order of the forward pass."""
    grouped: dict[tuple[str, int, bool], list[int]] = {}
    for site, r in ranks.items():
        blocks = grouped.setdefault((site.component, r, site.block is None), [])
        if site.block is not None:
            blocks.append(site.block)
    return tuple(
        RankRule(r, (component,), None if outside else tuple(blocks))
        for (component, r, outside), blocks in grouped.items()
    )
