"""Which images stand for all? A stratified choice, by seed, ids and labels alone."""

from __future__ import annotations

import torch
from torch import Tensor

from robustpeft.types.randomness import Noise

__all__ = ["chosen_part", "ranks_within"]


def chosen_part(labels: Tensor, ids: Tensor, n: int, seed: int) -> Tensor:
    """Return int64 (m,), ascending: the places of n images, or of all, whose classes have the same shares as here.

    Shares are exact up to rounding. The choice does not depend on the order of the images, and it is nested: that of 50
    is part of that of 100.

    Args:
        labels: Int64 (k,).
        ids: Int64 (k,), unique.
        n: How many, at least 0; all if there are no more.
        seed: Of the choice.
    """
    if n >= len(labels):
        return torch.arange(len(labels))
    # The r-th of a class's c images is due when (r + 1/2) / c of everything has been taken.
    due = (ranks_within(labels, ids, seed) + 0.5) / labels.bincount()[labels]
    tie_breaker = Noise(seed, ids, "take").uniform(()).double()
    order = sorted(range(len(labels)), key=list(zip(due.tolist(), tie_breaker.tolist(), strict=True)).__getitem__)
    return torch.tensor(sorted(order[:n]), dtype=torch.int64)


def ranks_within(labels: Tensor, ids: Tensor, seed: int) -> Tensor:
    """Return int64 (n,): each image's place, from 0, in the shuffled line of its class.

    The order in the line is a hash of (seed, id): it does not depend on the order of the images, nor on a library's
    random generator.
    """
    shuffled = torch.argsort(Noise(seed, ids, "split").bits(()), stable=True)
    by_class = shuffled[torch.argsort(labels[shuffled], stable=True)]
    counts = labels.bincount()
    first = counts.cumsum(0) - counts
    ranks = torch.empty_like(labels)
    ranks[by_class] = torch.arange(len(labels)) - first[labels[by_class]]
    return ranks
