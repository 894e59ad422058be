"""Do two models differ on the same images? Only the images on which they disagree say anything."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["holm", "mcnemar"]


def mcnemar(one: int, other: int) -> float:
    """Return the two-sided exact p-value of McNemar's test.

        p = min(1, 2 P[X <= min(one, other)]),   X ~ Binomial(one + other, 1/2)

    Args:
        one: Images that the first model alone gets right, at least 0.
        other: Images that the second model alone gets right, at least 0.

    Source:
        McNemar 1947, "Note on the sampling error of the difference between correlated proportions", Psychometrika 12;
        exact instead of its normal approximation.
    """
    n, least = one + other, min(one, other)
    return float(min(1.0, 2 * sum(math.comb(n, k) for k in range(least + 1)) / 2**n))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the p-values, in the order given, corrected for their number.

        corrected of the k-th smallest of m = max over j <= k of min(1, (m - j + 1) p_(j))

    Args:
        p_values: Of all tests that were planned, each in [0, 1].

    Source:
        Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return tuple(corrected)
