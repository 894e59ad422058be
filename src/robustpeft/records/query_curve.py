"""How many questions does it take? Accuracy against the number of queries of a search without gradients."""

from __future__ import annotations

from dataclasses import dataclass

from robustpeft.records.audit_record import AuditRecord
from robustpeft.records.rate import Rate

__all__ = ["QueryCurve", "query_curves"]


@dataclass(frozen=True)
class QueryCurve:
    """What one search left after so many questions an image.

    Args:
        key: Of the measurement.
        name: Table name of the search.
        norm: Of the threat.
        epsilon: Of the threat.
        budget: Questions after which it gave up.
        points: (questions, images still correct), ascending; the first is (0, the clean images). Between two points
            nothing changes, and after the last nothing up to the budget.
    """

    key: str
    name: str
    norm: str
    epsilon: float
    budget: int
    points: tuple[tuple[int, Rate], ...]

    def after(self, queries: int) -> Rate | None:
        """Return the images still correct after so many questions; None if it gave up before."""
        if queries > self.budget:
            return None
        return [rate for asked, rate in self.points if asked <= queries][-1]


def query_curves(record: AuditRecord) -> tuple[QueryCurve, ...]:
    """Return one curve per measurement that counts questions, in the order of the record; none if it holds no rows."""
    return tuple(
        QueryCurve(
            key=measurement.key,
            name=measurement.name,
            norm=str(measurement.threat["norm"]),
            epsilon=float(measurement.threat["epsilon"]),
            budget=measurement.queries,
            points=_points(record, measurement.key),
        )
        for measurement in record.measurements
        if measurement.queries is not None and measurement.threat and record.rows
    )


def _points(record: AuditRecord, key: str) -> tuple[tuple[int, Rate], ...]:
    asked = [row for row in record.rows if key in row.predictions]
    total = len(asked)
    left = sum(row.stands("clean") for row in asked)
    points = [(0, Rate(left, total))]
    for number in sorted(row.queries[key] for row in asked if key in row.queries):
        left -= 1
        point = (number, Rate(left, total))
        points = [*points[:-1], point] if points[-1][0] == number else [*points, point]
    return tuple(points)
