"""Which numbers of a transfer matrix stand side by side? The matrix, and what the attacker's ignorance is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from robustpeft.records import Paired, TransferRecord
from robustpeft.report.tables import Cell, Column, Row, Table, rate_cell
from robustpeft.report.wording import interval_text, percent_text, rate_text, technique_name, threat_text

__all__ = [
    "difference_cell",
    "matrix_table",
    "numbered",
    "paired_table",
    "spoken_matrix",
    "transfer_sentences",
    "transfer_terminal",
]


def numbered(record: TransferRecord) -> tuple[str, ...]:
    """Return the models' labels with the numbers under which the figure shows them: ``1 LoRA``."""
    return tuple(f"{number} {subject.label}" for number, subject in enumerate(record.subjects, 1))


def matrix_table(record: TransferRecord) -> Table:
    """Return what stays right: one row per source, one column per target, the images left alone in the first row."""
    names = numbered(record)
    targets = range(len(names))
    rows = [Row("left alone", tuple(rate_cell(record.clean(target)) for target in targets))]
    rows += [
        Row(f"made against {name}", tuple(rate_cell(record.kept(source, target)) for target in targets))
        for source, name in enumerate(names)
    ]
    return Table("Images that stay right", tuple(Column(name) for name in names), tuple(rows), "Images")


def paired_table(record: TransferRecord) -> Table:
    """Return how many images more each target keeps than under the attack made against itself, paired."""
    names = numbered(record)
    rows = []
    for source, name in enumerate(names):
        cells = [
            Cell("full knowledge")
            if source == target
            else difference_cell(record.against_full_knowledge(source, target))
            for target in range(len(names))
        ]
        rows.append(Row(f"made against {name}", tuple(cells)))
    return Table(
        "What the attacker loses by not knowing the target", tuple(Column(n) for n in names), tuple(rows), "Images"
    )


def difference_cell(paired: Paired) -> Cell:
    """Return a paired difference in percentage points with its interval, counts and exact p-value."""
    if paired.n == 0:
        return Cell("no images")
    low, high = (_points(bound) for bound in paired.interval())
    counts = f"{paired.only_one:,} against {paired.only_other:,} of {paired.n:,}"
    return Cell(f"{_points(paired.difference)} points", f"{low} to {high}", (counts, _p_text(paired.p_value)))


def transfer_sentences(record: TransferRecord) -> tuple[str, ...]:
    """Return what was done, and for every target which other model's images hurt it most."""
    where = threat_text(str(record.threat["norm"]), float(record.threat["epsilon"]))
    names = [subject.label for subject in record.subjects]
    said = [
        f"Every image was attacked on every model ({technique_name(record.attack)}, {where}) and shown to all of them. "
        "An image counts as right where the target is right on it as it is and under the attack."
    ]
    for target, name in enumerate(names):
        others = [source for source in range(len(names)) if source != target]
        worst = min(others, key=lambda source: record.kept(source, target).count)
        own, strangers = record.fooled(target, target), record.fooled(worst, target)
        if own.n == 0:
            said.append(f"{name} recognises no image as it is, so nothing can be turned.")
            continue
        said.append(
            f"Images made against {names[worst]} turn {percent_text(strangers.fraction)} % of those that {name} "
            f"recognises ({interval_text(strangers)}), images made against itself {percent_text(own.fraction)} % "
            f"({interval_text(own)}), of {own.n:,}."
        )
    return tuple(said)


def transfer_terminal(record: TransferRecord) -> RichTable:
    """Return the matrix for a terminal: sources in rows, targets in columns, what stays right and its interval."""
    table = matrix_table(record)
    where = threat_text(str(record.threat["norm"]), float(record.threat["epsilon"]))
    shown = RichTable(
        title=f"{table.title}, {where}",
        title_justify="left",
        caption=f"{record.data.n} images; below each share its 95 % interval in percent; rows attack, columns answer",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
    )
    shown.add_column("", min_width=12)
    for column in table.columns:
        shown.add_column(Text(column.text), justify="right", min_width=9)
    for number, row in enumerate(table.rows):
        cells: Sequence[Text] = [
            _terminal_cell(cell, own=number == target + 1) for target, cell in enumerate(row.cells)
        ]
        shown.add_row(Text(row.label, style="bold"), *cells)
    return shown


def _terminal_cell(cell: Cell, *, own: bool) -> Text:
    text = Text(cell.value, style="bold" if own else "")
    text.append(
        f"\n{cell.interval.replace(' to ', '-').replace('< ', '<')}" if cell.interval else "", style="dim not bold"
    )
    return text


def _points(share: float) -> str:
    if math.isnan(share):
        return "-"
    return f"{100 * share:+.1f}".replace("+0.0", "0.0").replace("-0.0", "0.0")


def _p_text(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def spoken_matrix(record: TransferRecord) -> str:
    """Return the matrix in words, for those who hear the figure."""
    names = numbered(record)
    return " ".join(
        f"Made against {one}, shown to {other}: {rate_text(record.kept(source, target))}."
        for source, one in enumerate(names)
        for target, other in enumerate(names)
    )
