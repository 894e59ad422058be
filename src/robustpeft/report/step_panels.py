"""Which curves go in steps? Accuracy against questions, and the share of images turned against the smallest size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.records import AuditRecord, QueryCurve, Rate, norm_distribution, query_curves
from robustpeft.report.tables import Column, Row, Table, rate_cell
from robustpeft.report.wording import condition_name, number_text, threat_text
from robustpeft.report.worst_case import main_threats

__all__ = ["StepCurve", "StepPanel", "norm_panels", "query_panels"]

_ASKED = (1, 10, 100, 1000, 5000)
_SHARES = (0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class StepCurve:
    """One subject's steps.

    Args:
        label: The subject.
        points: (place, rate), ascending, the first at 0; between two of them nothing changes.
        end: Up to where it is known; 0 if it was not measured.
    """

    label: str
    points: tuple[tuple[float, Rate], ...]
    end: float

    def at(self, place: float) -> Rate | None:
        """Return the rate at a place; None beyond the end."""
        if place > self.end:
            return None
        return next((rate for where, rate in reversed(self.points) if where <= place), None)


@dataclass(frozen=True)
class StepPanel:
    """One figure.

    Args:
        title: What is shown.
        axis: What stands on the x axis.
        rate: What stands on the y axis.
        curves: One per subject, in the order of the records.
        places: Where the table has columns and the curves have markers.
        logarithmic: The x axis is one of ratios; it begins at the first place.
    """

    title: str
    axis: str
    rate: str
    curves: tuple[StepCurve, ...]
    places: tuple[float, ...]
    logarithmic: bool = False

    def table(self) -> Table:
        """Return the numbers at the places."""
        columns = (Column("None" if self.logarithmic else "As they are"), *(Column(self.name(p)) for p in self.places))
        rows = (Row(c.label, tuple(rate_cell(c.at(place)) for place in (0, *self.places))) for c in self.curves)
        return Table(self.title, columns, tuple(rows))

    def name(self, place: float) -> str:
        """Return how a place reads."""
        return f"{place:,.0f}" if self.logarithmic else number_text(place)


def query_panels(records: Sequence[AuditRecord]) -> tuple[StepPanel, ...]:
    """Return one panel per search without gradients and radius, in the order in which the records name them."""
    found = [{(c.name, c.norm, c.epsilon): c for c in query_curves(record)} for record in records]
    panels = []
    for name, norm, epsilon in dict.fromkeys(kind for curves in found for kind in curves):
        curves = tuple(
            _of_queries(record.subject.label, by_kind.get((name, norm, epsilon)))
            for record, by_kind in zip(records, found, strict=True)
        )
        end = max(curve.end for curve in curves)
        places = tuple(float(asked) for asked in _ASKED if asked <= end)
        told = "the predicted class alone" if name == "hard_label" else "scores"
        title = f"{condition_name(name)}, which is told {told}, {threat_text(norm, epsilon)}"
        panels.append(StepPanel(title, "questions about an image", "accuracy (%)", curves, places, logarithmic=True))
    return tuple(panels)


def norm_panels(records: Sequence[AuditRecord]) -> tuple[StepPanel, ...]:
    """Return one panel per norm in which smallest perturbations were looked for."""
    found = [norm_distribution(record) for record in records]
    panels = []
    for norm in dict.fromkeys(each.search.norm for each in found if each is not None):
        threat = next((t.epsilon for t in main_threats(records) if t.norm == norm), None)
        mine = [each if each is not None and each.search.norm == norm else None for each in found]
        end = max(each.points[-1][0] for each in mine if each is not None)
        curves = tuple(
            StepCurve(record.subject.label, each.points if each else (), max(end, 4 * (threat or 0)) if each else 0)
            for record, each in zip(records, mine, strict=True)
        )
        places = tuple(share * threat for share in _SHARES) if threat else ((end,) if end else ())
        title = f"Smallest perturbation found, {norm.capitalize()}"
        panels.append(StepPanel(title, "size of the perturbation, at most", "images turned (%)", curves, places))
    return tuple(panels)


def _of_queries(label: str, curve: QueryCurve | None) -> StepCurve:
    if curve is None:
        return StepCurve(label, (), 0)
    return StepCurve(label, tuple((float(asked), rate) for asked, rate in curve.points), curve.budget)
