"""How is a record shown in a terminal? Its headline as a table of rich."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from robustpeft.errors import printable
from robustpeft.records import AuditRecord
from robustpeft.report.comparable import comparable
from robustpeft.report.headline import headline, publishable
from robustpeft.report.ladder import attacker_ladders
from robustpeft.report.tables import Cell, Column, Table, headline_table
from robustpeft.report.wording import condition_name

__all__ = ["terminal_headlines", "terminal_ladder", "terminal_table"]

_LABEL_WIDTH = 12
_NUMBER_WIDTH = 9
_MOST_COLUMNS = 5  # beside the name of the model


def terminal_headlines(records: Sequence[AuditRecord]) -> list[Text]:
    """Return one sentence per record: its number, an upper bound, or why there is none.

    Raises:
        UserError: If there is no record, or they cannot be compared.
    """
    styles = {"refused": "bold red", "upper_bound": "yellow"}
    return [
        Text(printable(said.sentence), style=styles.get(said.kind, ""))
        for said in (headline(r) for r in comparable(records))
    ]


def terminal_ladder(records: Sequence[AuditRecord]) -> RichTable | None:
    """Return the ladder of attackers, one row each; None if no numbers may be shown.

    Raises:
        UserError: If there is no record, or they cannot be compared.
    """
    ladder = attacker_ladders(publishable(comparable(records)))
    if ladder is None:
        return None
    title = f"{ladder.title}, {ladder.where}" if ladder.where else ladder.title
    shown = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True)
    shown.add_column("Attacker", min_width=_LABEL_WIDTH)
    for label in ladder.labels:
        shown.add_column(Text(label), justify="right", min_width=_NUMBER_WIDTH)
    missing: dict[str, list[str]] = {}
    for step in ladder.steps:
        cells = [Text("not measured", "dim") if entry.missing else _rung(entry.cell) for entry in step.entries]
        shown.add_row(Text(step.title, style="bold").append(f"\n{step.words}", style="dim not bold"), *cells)
        for why in dict.fromkeys(entry.missing for entry in step.entries if entry.missing):
            missing.setdefault(why, []).append(step.title)
    n = records[0].data.n
    rates = [entry.correct for step in ladder.steps for entry in step.entries if entry.correct is not None]
    fewer = "" if all(rate.n == n for rate in rates) else ", fewer where it says so"
    count = f"{n:,} images{fewer}: the share still recognised, its 95 % interval in percent, and what it cost"
    shown.caption = "\n".join([count, *(f"{'; '.join(titles)}: {why}" for why, titles in missing.items())])
    shown.caption_justify = "left"
    return shown


def terminal_table(records: Sequence[AuditRecord]) -> RichTable:
    """Return the headline table, one row per subject, each value above its interval; it fits 80 columns.

    Records of which a check of integrity failed are left out: their numbers are not to be shown.
    Counts, bytes and whatever else stands in the notes of a cell are left to the report.

    Raises:
        UserError: If there is no record, or they cannot be compared.
    """
    same = comparable(records)
    shown_records = publishable(same)
    table = headline_table(shown_records) if shown_records else Table("No numbers", (), ())
    caption = f"{same[0].data.n} test images; below each share its 95 % interval in percent"
    kept = _that_fit(table)
    if left_out := len(table.columns) - len(kept) - any(map(_is_file, table.columns)):
        caption = f"{caption}\n{left_out} more {'attack stands' if left_out == 1 else 'attacks stand'} in the report"
    shown = RichTable(
        title=table.title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
    )
    shown.add_column("Model", min_width=_LABEL_WIDTH)
    for column in (table.columns[i] for i in kept):
        head = Text(column.title.removesuffix(" parameters"))
        head.append(f"\n{column.note}" if column.note else "", style="dim not bold")
        shown.add_column(head, justify="right", min_width=_NUMBER_WIDTH)
    for row in table.rows:
        shown.add_row(Text(printable(row.label), style="bold"), *(_cell(row.cells[i]) for i in kept))
    return shown


def _that_fit(table: Table) -> list[int]:
    """Return the columns for 80 characters: where there are too many, single attacks go, the first of them first.

    Before them go images that were found on other models, which stand in the ladder.
    """
    kept = [place for place, column in enumerate(table.columns) if not _is_file(column)]
    single = [place for place in kept[1:-1] if not table.columns[place].title.startswith(("Worst", "Strongest"))]
    borrowed = tuple(condition_name(source) for source in ("sibling", "transfer"))
    single.sort(key=lambda place: not table.columns[place].title.startswith(borrowed))  # stable
    gone = single[: max(0, len(kept) - _MOST_COLUMNS)]
    return [place for place in kept if place not in gone]


def _is_file(column: Column) -> bool:
    return column.title.startswith("Adapter")


def _cell(cell: Cell) -> Text:
    text = Text(cell.value.replace(", ", "\n") if cell.interval == "" else cell.value)
    text.append(f"\n{_narrow(cell.interval)}" if cell.interval else "", style="dim")
    return text


def _rung(cell: Cell) -> Text:
    """Return share, interval and cost, the cost in short lines."""
    return _cell(cell).append("\n" + cell.notes[-1].replace(", ", "\n"), style="dim")


def _narrow(interval: str) -> str:
    return interval.replace(" to ", "-").replace("< ", "<")
