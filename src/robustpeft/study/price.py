"""What does robustness cost? The clean images that the naturally tuned twin gets right and the robust model does not.

Both are judged on the same images, so they are compared image by image (McNemar's exact test): only the images on which
the two disagree say anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from robustpeft.errors import UserError
from robustpeft.records import AuditRecord, Rate

__all__ = ["Price", "mcnemar", "price"]


@dataclass(frozen=True)
class Price:
    """Clean accuracy of two models on the same images, paired.

    Args:
        natural: Right by the naturally tuned model, of all images.
        robust: Right by the robust one.
        only_natural: Right by the natural model alone.
        only_robust: Right by the robust model alone.
        p_value: Two-sided, exact: how likely is so uneven a split of the disagreements if both err alike?
    """

    natural: Rate
    robust: Rate
    only_natural: int
    only_robust: int
    p_value: float

    @property
    def points(self) -> float:
        """Percentage points of clean accuracy that the robust model has less; negative if it has more."""
        return 100.0 * (self.only_natural - self.only_robust) / self.natural.n


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


def price(natural: AuditRecord, robust: AuditRecord) -> Price:
    """Return what the robust model pays on clean images.

    Args:
        natural: Audit of the naturally tuned twin: the same technique, data and seed without an adversary.
        robust: Audit of the robust model.

    Raises:
        UserError: If the two were not judged on the same images.
    """
    if natural.data.digest != robust.data.digest:
        raise UserError(
            f"{natural.subject.label} and {robust.subject.label} were judged on different images; audit them alike"
        )
    mine = {row.id: row.predictions["clean"] == row.label for row in natural.rows}
    pairs = [(mine[row.id], row.predictions["clean"] == row.label) for row in robust.rows]
    only_natural = sum(a and not b for a, b in pairs)
    only_robust = sum(b and not a for a, b in pairs)
    return Price(
        Rate(sum(a for a, _ in pairs), len(pairs)),
        Rate(sum(b for _, b in pairs), len(pairs)),
        only_natural,
        only_robust,
        mcnemar(only_natural, only_robust),
    )
