"""Which numbers stand side by side? Tables as plain values, drawn by the HTML page, the Markdown and the terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.records import AuditRecord, Measurement, Rate
from robustpeft.report.wording import (
    byte_text,
    condition_name,
    count_text,
    effort_text,
    interval_text,
    percent_text,
    threat_text,
)
from robustpeft.report.worst_case import MainThreat, attacks_at, main_threats, worst_case

__all__ = ["Cell", "Column", "Row", "Table", "cost_table", "headline_table", "rate_cell"]

# Macro accuracy says something of its own only where classes differ by more than this factor in size.
_UNEVEN = 1.5


@dataclass(frozen=True)
class Column:
    """The head of a column.

    Args:
        title: What it shows.
        note: Under which condition; may be empty.
    """

    title: str
    note: str = ""

    @property
    def text(self) -> str:
        """Title and note in one line."""
        return f"{self.title} ({self.note})" if self.note else self.title


@dataclass(frozen=True)
class Cell:
    """One entry.

    Args:
        value: The number to read first.
        interval: Its 95 % interval; may be empty.
        notes: Counts behind it, and what else belongs to it.
    """

    value: str
    interval: str = ""
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Everything in one line, for example ``91.4 % (88.0 to 93.9), 329 of 360``."""
        value = f"{self.value} ({self.interval})" if self.interval else self.value
        return ", ".join((value, *self.notes))


@dataclass(frozen=True)
class Row:
    """One subject's entries, as many as the table has columns."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """Rows under columns.

    Args:
        title: What the table shows.
        columns: Without the one that holds the rows' labels.
        rows: One per subject.
        rows_are: What a row is, the head of its labels.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    rows_are: str = "Model"


_ABSENT = Cell("-")


def rate_cell(rate: Rate | None) -> Cell:
    """Return a rate with its interval and counts; a dash if there is none."""
    if rate is None:
        return _ABSENT
    if rate.n == 0:
        return Cell("no images")
    return Cell(f"{percent_text(rate.fraction)} %", interval_text(rate), (count_text(rate),))


def headline_table(records: Sequence[AuditRecord]) -> Table:
    """Return one row per subject: accuracy without and under attack, the worst case, and what was trained.

    The attacks are those at the largest epsilon that all records have in common, for each norm. Macro accuracy (the
    mean over classes) stands beside accuracy where classes are uneven.
    """
    columns = [Column("Clean accuracy")]
    cells = [[_accuracy_cell(record["clean"])] for record in records]
    for threat in main_threats(records):
        _append_threat(columns, cells, records, threat)
    columns += [Column("Trained parameters"), Column("Adapter file")]
    _append(cells, [_trained_cell(record) for record in records])
    _append(cells, [_adapter_cell(record) for record in records])
    return Table("Accuracy and cost", tuple(columns), _rows(records, cells))


def cost_table(records: Sequence[AuditRecord]) -> Table:
    """Return one row per subject: what was trained, with and without the head, and bytes, beside the whole model.

    The worst case at the first main threat, if there is one, stands in the first column.
    """
    columns = [Column(c) for c in ("Trained", "Without head", "Whole model", "Adapter file", "Model file")]
    cells = [_costs(record) for record in records]
    for threat in main_threats(records)[:1]:
        worst, rates = _worst(records, threat)
        columns.insert(0, worst)
        cells = [[rate, *row] for rate, row in zip(rates, cells, strict=True)]
    return Table("What was trained", tuple(columns), _rows(records, cells))


def _append_threat(
    columns: list[Column], cells: list[list[Cell]], records: Sequence[AuditRecord], threat: MainThreat
) -> None:
    """Add one column per attack at the threat, and the worst case."""
    where = threat_text(threat.norm, threat.epsilon)
    found = [{m.key: m for m in attacks_at(record, threat)} for record in records]
    for key, example in {key: m for attacks in reversed(found) for key, m in attacks.items()}.items():
        effort = effort_text(example)
        note = f"{where}, {effort}" if effort else where
        asked = {attacks[key].correct.n for attacks in found if key in attacks} - {records[0].data.n}
        part = f", {' or '.join(f'{n:,}' for n in sorted(asked))} images" if asked else ""
        columns.append(Column(condition_name(example.name), note + part))
        _append(cells, [_accuracy_cell(attacks[key]) if key in attacks else _ABSENT for attacks in found])
    worst, rates = _worst(records, threat)
    columns.append(worst)
    _append(cells, rates)


def _worst(records: Sequence[AuditRecord], threat: MainThreat) -> tuple[Column, list[Cell]]:
    cases = [worst_case(record, threat) for record in records]
    by_image = all(case is not None and case.wins is not None for case in cases)
    title = "Worst case" if by_image else "Strongest attack"
    column = Column(title, f"{threat_text(threat.norm, threat.epsilon)} or less")
    return column, [rate_cell(case.correct if case else None) for case in cases]


def _append(cells: list[list[Cell]], column: Sequence[Cell]) -> None:
    for row, cell in zip(cells, column, strict=True):
        row.append(cell)


def _rows(records: Sequence[AuditRecord], cells: Sequence[Sequence[Cell]]) -> tuple[Row, ...]:
    return tuple(Row(record.subject.label, tuple(row)) for record, row in zip(records, cells, strict=True))


def _accuracy_cell(measurement: Measurement) -> Cell:
    cell = rate_cell(measurement.correct)
    sizes = [rate.n for rate in measurement.per_class if rate.n]
    if not sizes or max(sizes) <= _UNEVEN * min(sizes):
        return cell
    return dataclasses.replace(cell, notes=(*cell.notes, f"macro {percent_text(measurement.macro_accuracy)} %"))


def _share(count: int, record: AuditRecord) -> str:
    return f"{percent_text(count / record.subject.num_parameters)} %"


def _trained_cell(record: AuditRecord) -> Cell:
    subject = record.subject
    if not subject.num_trained:
        return Cell("0")
    body = subject.num_trained - subject.num_trained_head
    note = f"without head {body:,}, {_share(body, record)}"
    return Cell(f"{subject.num_trained:,}, {_share(subject.num_trained, record)}", notes=(note,))


def _adapter_cell(record: AuditRecord) -> Cell:
    adapter = record.subject.adapter_bytes
    return Cell(
        "none" if adapter is None else byte_text(adapter), notes=(f"model {byte_text(record.subject.model_bytes)}",)
    )


def _costs(record: AuditRecord) -> list[Cell]:
    subject = record.subject
    body = subject.num_trained - subject.num_trained_head
    return [
        Cell(f"{subject.num_trained:,}", notes=(_share(subject.num_trained, record),)),
        Cell(f"{body:,}", notes=(_share(body, record),)),
        Cell(f"{subject.num_parameters:,}"),
        Cell(byte_text(subject.adapter_bytes)),
        Cell(byte_text(subject.model_bytes)),
    ]
