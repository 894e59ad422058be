"""What stands behind the headline? Three rates together, the worst class, the area under the curve, corruptions."""

from __future__ import annotations

from collections.abc import Sequence

from robustpeft.errors import UserError
from robustpeft.records import (
    AuditRecord,
    Rate,
    RobustCurve,
    at_every_radius,
    corruption_errors,
    corruption_measurements,
    robust_curves,
)
from robustpeft.report.curves import Curve, Panel
from robustpeft.report.tables import Cell, Column, Row, Table, rate_cell
from robustpeft.report.wording import class_name, condition_name, number_text, percent_text, threat_text
from robustpeft.report.worst_case import MainThreat, main_threats, withstood, worst_case

__all__ = ["breakdown_tables", "class_table", "corruption_table", "rates_table", "worst_case_panels"]

_MOST_CLASSES = 20
_ABSENT = Cell("-")


def breakdown_tables(records: Sequence[AuditRecord]) -> tuple[Table, ...]:
    """Return the tables that there are numbers for."""
    if not records:  # their numbers may not be shown
        return ()
    found = [rates_table(records), *(class_table(record) for record in records), corruption_table(records)]
    return tuple(table for table in found if table is not None)


def rates_table(records: Sequence[AuditRecord]) -> Table | None:
    """Return clean accuracy, robust accuracy over all images and attack success over the recognised ones, and the area.

    The three at the first main threat: robust = clean x (1 - success), so any two give the third, and none alone says
    whether a model falls because it is attacked or was never right. None without an attack or rows.
    """
    threats = main_threats(records)
    if not threats or not all(record.rows for record in records):
        return None
    threat = threats[0]
    where = threat_text(threat.norm, threat.epsilon)
    rows = []
    for record in records:
        case, curve = worst_case(record, threat), _curve_of(record, threat)
        cells = [rate_cell(record["clean"].correct)]
        cells += [_ABSENT, _ABSENT] if case is None else [rate_cell(case.correct), rate_cell(case.wins)]
        area = _ABSENT if curve is None else Cell(f"{percent_text(curve.area)} %", notes=(_radii(curve),))
        rows.append(Row(record.subject.label, (*cells, area)))
    columns = (
        Column("Clean accuracy", "of all images"),
        Column("Robust accuracy", f"of all images, worst case, {where}"),
        Column("Attack success", "of the images recognised when left alone"),
        Column("Area under robust accuracy", f"mean over epsilon 0 to {number_text(threat.epsilon)}"),
    )
    return Table("Three rates and an area", columns, tuple(rows))


def class_table(record: AuditRecord) -> Table | None:
    """Return accuracy of each class without and under attack, the worst under attack first.

    With more than 20 classes those that fare worst. None without an attack or rows.
    """
    threats = main_threats([record])
    if not threats or not record.rows:
        return None
    kept = withstood(record, threats[0])
    clean = record["clean"].per_class
    robust = [
        Rate(sum(row.id in kept for row in record.rows if row.label == label), rate.n)
        for label, rate in enumerate(clean)
    ]
    present = sorted((label for label, rate in enumerate(robust) if rate.n), key=lambda label: robust[label].fraction)
    rows = tuple(
        Row(class_name(record.data, label), (rate_cell(clean[label]), rate_cell(robust[label])))
        for label in present[:_MOST_CLASSES]
    )
    left = f", the {_MOST_CLASSES} worst of {len(present)}" if len(present) > _MOST_CLASSES else ""
    where = threat_text(threats[0].norm, threats[0].epsilon)
    worst = class_name(record.data, present[0])
    alike = sum(robust[label].fraction == robust[present[0]].fraction for label in present) - 1
    worst += f" and {alike} alike" if alike else ""
    title = f"{record.subject.label} class by class{left}; worst under attack: {worst}"
    return Table(title, (Column("Clean accuracy"), Column("Worst case", where)), rows, "Class")


def worst_case_panels(records: Sequence[AuditRecord]) -> tuple[Panel, ...]:
    """Return one panel per norm: the worst case over the attacks of every radius, image by image, against epsilon."""
    found = [{curve.norm: curve for curve in robust_curves(record)} for record in records]
    narrow = any({m.key for m in record.of("attack")} > at_every_radius(record) for record in records)
    which = "the attacks of every radius" if narrow else "all attacks"
    panels = []
    for norm in dict.fromkeys(norm for curves in found for norm in curves):
        lines = tuple(
            Curve(record.subject.label, curves[norm].points if norm in curves else ())
            for record, curves in zip(records, found, strict=True)
        )
        panels.append(Panel(f"Worst case over {which}, {norm.capitalize()}", "epsilon", lines))
    return tuple(panels)


def corruption_table(records: Sequence[AuditRecord]) -> Table | None:
    """Return accuracy under each common corruption, its severities together, and mCE against the first record.

    None unless all records hold some.
    """
    found = [corruption_measurements(record) for record in records]
    if not found or not all(found):
        return None
    kinds = list(dict.fromkeys(kind for measured in found for kind in measured))
    with_errors = len(records) > 1
    columns = [Column("Mean of the kinds")]
    columns += [Column("mCE", f"against {records[0].subject.label}")] if with_errors else []
    columns += [Column(condition_name(kind)) for kind in kinds]
    rows = []
    for record, measured in zip(records, found, strict=True):
        shares = {k: sum(m.correct.fraction for m in ms) / len(ms) for k, ms in measured.items()}
        cells = [Cell(f"{percent_text(sum(shares.values()) / len(shares))} %")]
        cells += [_mean_error(record, records[0])] if with_errors else []
        cells += [Cell(f"{percent_text(shares[k])} %") if k in shares else _ABSENT for k in kinds]
        rows.append(Row(record.subject.label, tuple(cells)))
    severities = sorted({m.settings["severity"] for measured in found for ms in measured.values() for m in ms})
    listed = ", ".join(map(str, severities))
    frost = "; frost is drawn, not photographed as in ImageNet-C" if "frost" in kinds else ""
    return Table(f"Common corruptions, mean accuracy over severities {listed}{frost}", tuple(columns), tuple(rows))


def _mean_error(record: AuditRecord, reference: AuditRecord) -> Cell:
    try:
        return Cell(f"{100 * corruption_errors(record, reference).mean:.1f} %")
    except UserError:  # measured under other corruptions: no ratio, but the rest of the table stands
        return _ABSENT


def _curve_of(record: AuditRecord, threat: MainThreat) -> RobustCurve | None:
    """Return the worst-case curve up to the threat's radius."""
    for curve in robust_curves(record):
        points = tuple(point for point in curve.points if point[0] <= threat.epsilon)
        if curve.norm == threat.norm and len(points) > 1:
            return RobustCurve(curve.norm, points)
    return None


def _radii(curve: RobustCurve) -> str:
    count = len(curve.points) - 1
    return f"{count} radi{'us' if count == 1 else 'i'} and the clean images"
