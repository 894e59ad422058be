"""By how much do two models differ on the same images? A difference of paired rates, with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from robustpeft.records.paired import mcnemar

__all__ = ["Paired"]

_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Paired:
    """Two yes-or-no answers to each of n things, as counts.

    Args:
        only_one: Things of which the first says yes alone.
        only_other: Things of which the second says yes alone.
        n: All things, at least as many as those two.
    """

    only_one: int
    only_other: int
    n: int

    def __post_init__(self) -> None:
        if min(self.only_one, self.only_other) < 0 or self.only_one + self.only_other > self.n:
            raise ValueError(f"{self.only_one} and {self.only_other} disagreements do not fit {self.n} pairs")

    @classmethod
    def of(cls, pairs: Iterable[tuple[bool, bool]]) -> Paired:
        """Return the counts of pairs of answers."""
        listed = list(pairs)
        one, other = sum(a and not b for a, b in listed), sum(b and not a for a, b in listed)
        return cls(one, other, len(listed))

    @property
    def difference(self) -> float:
        """Share of the first minus share of the second, in [-1, 1]; NaN if n is 0."""
        return (self.only_one - self.only_other) / self.n if self.n else math.nan

    @property
    def p_value(self) -> float:
        """Two-sided and exact, see `mcnemar`."""
        return mcnemar(self.only_one, self.only_other)

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the difference, within [-1, 1].

            p = (only_one + 1) / (n + 2),   q = (only_other + 1) / (n + 2)
            p - q +- 1.96 sqrt((p + q - (p - q)^2) / (n + 2))

        Source:
            Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based on
            paired data", Journal of Educational and Behavioral Statistics 37(4). It has a width where nothing differs.
        """
        total = self.n + 2
        p, q = (self.only_one + 1) / total, (self.only_other + 1) / total
        half = _Z95 * math.sqrt((p + q - (p - q) ** 2) / total)
        return max(-1.0, p - q - half), min(1.0, p - q + half)
