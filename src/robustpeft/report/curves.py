"""How does accuracy fall with strength? The points of every figure, and the table of the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.records import AuditRecord, Measurement, Rate, at_every_radius
from robustpeft.report.tables import Column, Row, Table, rate_cell
from robustpeft.report.wording import condition_name, effort_text, number_text, strength_field

__all__ = ["Curve", "Panel", "attack_panels", "perturbation_panels"]


@dataclass(frozen=True)
class Curve:
    """One subject's points.

    Args:
        label: The subject.
        points: Strength and images still correct, in order of strength; strength 0 stands for the clean image.
    """

    label: str
    points: tuple[tuple[float, Rate], ...]


@dataclass(frozen=True)
class Panel:
    """One condition at all its strengths, for all subjects.

    Args:
        title: Which attack or perturbation.
        axis: What its strength is called.
        curves: One per subject, in the order of the records; without points where it was not measured.
        is_count: Whether the strength is a whole number of things, such as the rows of a grid. Nothing is unchanged
            at 0 then, and steps between strengths have no length.
    """

    title: str
    axis: str
    curves: tuple[Curve, ...]
    is_count: bool = False

    @property
    def strengths(self) -> tuple[float, ...]:
        """All strengths of all curves, ascending."""
        return tuple(sorted({strength for curve in self.curves for strength, _ in curve.points}))

    def table(self) -> Table:
        """Return the numbers of the panel, one column per strength."""
        columns = tuple(Column("Clean") if s == 0 else Column(f"{self.axis} {number_text(s)}") for s in self.strengths)
        rows = []
        for curve in self.curves:
            rates = dict(curve.points)
            rows.append(Row(curve.label, tuple(rate_cell(rates.get(s)) for s in self.strengths)))
        return Table(self.title, columns, tuple(rows))


def attack_panels(records: Sequence[AuditRecord]) -> tuple[Panel, ...]:
    """Return one panel per attack and norm of every radius, in the order in which the records name them."""
    steady = [[m for m in record.of("attack") if m.key in at_every_radius(record)] for record in records]
    panels = []
    for name, norm, effort in dict.fromkeys((m.name, _norm(m), effort_text(m)) for found in steady for m in found):
        title = ", ".join(part for part in (condition_name(name), effort, norm.capitalize()) if part)
        curves = tuple(
            _curve(record, [m for m in found if (m.name, _norm(m), effort_text(m)) == (name, norm, effort)])
            for record, found in zip(records, steady, strict=True)
        )
        panels.append(Panel(title, "epsilon", curves))
    return tuple(panels)


def perturbation_panels(records: Sequence[AuditRecord]) -> tuple[Panel, ...]:
    """Return one panel per perturbation, in the order in which the records name them."""
    examples: dict[str, Measurement] = {}
    for record in records:
        for measurement in record.measurements:
            if measurement.kind == "perturbation" and measurement.name != "corruption":  # those have a table
                examples.setdefault(measurement.name, measurement)
    return tuple(
        Panel(
            condition_name(name),
            strength_field(example).replace("_", " "),
            tuple(_curve(record, record.of("perturbation", name)) for record in records),
            is_count=isinstance(example.settings.get(strength_field(example)), int),
        )
        for name, example in examples.items()
    )


def _norm(measurement: Measurement) -> str:
    return str((measurement.threat or {}).get("norm", ""))


def _curve(record: AuditRecord, measurements: Sequence[Measurement]) -> Curve:
    if not measurements:
        return Curve(record.subject.label, ())
    points = [(0.0, record["clean"].correct)]
    points += [(m.strength, m.correct) for m in measurements if m.strength]
    return Curve(record.subject.label, tuple(points))
