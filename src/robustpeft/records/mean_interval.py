"""How sure is a mean of a few measurements? Student's 95 % interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

__all__ = ["mean_interval"]

# The 97.5 % quantiles of Student's distribution for 1 to 30 degrees of freedom.
_QUANTILES = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)
_Z95 = 1.959963984540054


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean, for values that scatter normally; unbounded for a single one.

        mean +- t(n - 1) s / sqrt(n)

    Args:
        values: At least one.

    Source:
        Student 1908, "The probable error of a mean", Biometrika 6.
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return -math.inf, math.inf
    half = _quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def _quantile(freedom: int) -> float:
    if freedom <= len(_QUANTILES):
        return _QUANTILES[freedom - 1]
    return _Z95 + (_Z95**3 + _Z95) / (4 * freedom)  # the first term of its expansion: right to 1 / 1,000 from 31 on
