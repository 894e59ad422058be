"""How is a record shown in a terminal? Its headline as a table of rich."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from robustpeft.records import AuditRecord
from robustpeft.report.comparable import comparable
from robustpeft.report.tables import Cell, headline_table

__all__ = ["terminal_table"]


def terminal_table(records: Sequence[AuditRecord]) -> RichTable:
    """Return the headline table, one row per subject: value, interval and counts below each other.

    Raises:
        UserError: If there is no record, or they cannot be compared.
    """
    table = headline_table(comparable(records))
    shown = RichTable(title=table.title, title_justify="left", box=box.SIMPLE_HEAD, show_lines=len(table.rows) > 1)
    shown.add_column("Model", no_wrap=True)
    for column in table.columns:
        head = Text(column.title)
        head.append(f"\n{column.note}" if column.note else "", style="dim not bold")
        shown.add_column(head, justify="right")
    for row in table.rows:
        shown.add_row(Text(row.label, style="bold"), *(_cell(cell) for cell in row.cells))
    return shown


def _cell(cell: Cell) -> Text:
    text = Text(cell.value)
    for extra in (cell.interval, *cell.notes):
        text.append(f"\n{extra}" if extra else "", style="dim")
    return text
