"""How small are the smallest perturbations? The share of images that one of at most a certain size turns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from robustpeft.records.audit_record import AuditRecord
from robustpeft.records.minimal_search import MinimalSearch
from robustpeft.records.rate import Rate

__all__ = ["NormDistribution", "norm_distribution"]


@dataclass(frozen=True)
class NormDistribution:
    """The smallest perturbations that were found. There may be smaller ones: every share is a lower bound.

    Args:
        search: How they were looked for.
        points: (size, images that one of at most this size turns), ascending, from 0: the images that are wrong as they
            are. Images of which none was found are never counted.
    """

    search: MinimalSearch
    points: tuple[tuple[float, Rate], ...]

    @property
    def median(self) -> float | None:
        """The smallest size that turns half of all images; None if none that was found does."""
        return next((size for size, rate in self.points if 2 * rate.count >= rate.n), None)


def norm_distribution(record: AuditRecord) -> NormDistribution | None:
    """Return the distribution; None if nobody looked or the record holds no rows."""
    if record.minimal is None or not record.rows:
        return None
    sizes = Counter(row.smallest for row in record.rows if row.smallest is not None)
    turned = sizes.pop(0.0, 0)
    points = [(0.0, Rate(turned, len(record.rows)))]
    for size in sorted(sizes):
        turned += sizes[size]
        points.append((size, Rate(turned, len(record.rows))))
    return NormDistribution(record.minimal, tuple(points))
