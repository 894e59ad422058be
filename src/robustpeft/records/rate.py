"""How sure is a rate? A count out of n, with its 95 % interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Rate"]

_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Rate:
    """A share of n things, kept as counts so that nothing is rounded.

    Args:
        count: How many; 0 to n.
        n: Out of how many; at least 0.
    """

    count: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.n:
            raise ValueError(f"a rate needs 0 <= count <= n; got {self.count} of {self.n}")

    @property
    def fraction(self) -> float:
        """The share in [0, 1]; NaN if n is 0."""
        return self.count / self.n if self.n else math.nan

    def interval(self) -> tuple[float, float]:
        """Return the 95 % Wilson score interval, (0, 1) if n is 0.

        It stays inside [0, 1] and is honest at 0 and n, where the textbook interval has width 0.

        Source:
            Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22.
        """
        if self.n == 0:
            return 0.0, 1.0
        p, z2 = self.fraction, _Z95**2
        centre = (p + z2 / (2 * self.n)) / (1 + z2 / self.n)
        half = _Z95 / (1 + z2 / self.n) * math.sqrt(p * (1 - p) / self.n + z2 / (4 * self.n**2))
        low = 0.0 if self.count == 0 else centre - half
        high = 1.0 if self.count == self.n else centre + half
        return low, high
