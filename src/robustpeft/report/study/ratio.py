"""How sure is a share of another arm's accuracy? Images and seeds are drawn anew, many times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["ratio_interval"]

_DRAWS = 4000


def ratio_interval(
    one: Sequence[frozenset[int]], other: Sequence[frozenset[int]], n: int, *, level: float = 0.95
) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval of the ratio of two arms' mean accuracies on the same images.

    A draw takes `n` of the images with replacement, the same for both arms, and of each arm one seed less than it has,
    with replacement: as many as it has would tell the variance of a mean of k seeds as (k - 1) / k of what it is, half
    of it for two. A single seed is drawn always: then the interval is over images alone.

    Args:
        one: Ids of the images that it keeps right, for each of its seeds.
        other: The same for the arm it is a share of.
        n: Images that all were judged on.
        level: Share of the draws within the interval.

    Returns:
        Lower and upper end, the same for the same sets; None if the other arm keeps nothing in some draw, or the one
        nothing in any: what keeps none of these images may keep some of others, which no draw of these can tell.

    Cost:
        4,000 draws of `n` images.

    Source:
        Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13; Rao and Wu 1988, "Resampling
        inference with complex survey data", JASA 83, for one draw less than there are.
    """
    ids = sorted(set().union(*one, *other))
    drawn = np.random.default_rng(0)
    # images that nobody ever keeps are drawn too, but need no column of their own
    chances = np.full(len(ids) + 1, 1.0 / n)
    chances[-1] = max(0.0, 1.0 - len(ids) / n)
    times = drawn.multinomial(n, chances / chances.sum(), size=_DRAWS)[:, :-1]
    means = []
    for seeds in (one, other):
        held = np.array([[image in kept for image in ids] for kept in seeds], dtype=np.int64).reshape(len(seeds), -1)
        which = drawn.integers(len(seeds), size=(_DRAWS, max(1, len(seeds) - 1)))
        means.append(np.take_along_axis(times @ held.T, which, axis=1).mean(axis=1))
    if not means[1].all() or not means[0].any():
        return None
    low, high = np.quantile(means[0] / means[1], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
