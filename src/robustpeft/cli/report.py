"""``robustpeft report``: how are records shown again, without a model?"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from robustpeft.records import AuditRecord

__all__ = ["report", "show_report"]

ReportFormat = Literal["html", "robustbench"]


def report(
    records: Annotated[
        list[Path],
        typer.Argument(
            metavar="RECORD", help="Files audit.json, or the directories that hold them; or the directory of one study."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Directory of the report.", show_default="the one that holds all records"),
    ] = None,
    format_: Annotated[
        ReportFormat, typer.Option("--format", help="html (and Markdown), or robustbench: its JSON, one file a record.")
    ] = "html",
) -> None:
    """Write one report, HTML and Markdown, on records of audits that were made alike, or on a study."""
    from robustpeft.records import read_record
    from robustpeft.records.study_record import STUDY_FILE

    if studies := [path for path in records if (path / STUDY_FILE).is_file()]:
        _of_study(records, studies[0], output, format_)
        return
    read = [read_record(path) for path in records]
    folders = [path if path.is_dir() else path.parent for path in records]
    where = output or Path(os.path.commonpath([folder.resolve() for folder in folders]))
    if format_ == "robustbench":
        from robustpeft.report import write_robustbench

        for record in read:
            written = write_robustbench(record, where)
            print(*(f"left out: {sentence}" for sentence in written.entry.left_out), sep="\n", file=sys.stderr)
            print(f"robustbench: {written.path}")
        return
    show_report(read, where)


def _of_study(given: Sequence[Path], study: Path, output: Path | None, format_: ReportFormat) -> None:
    from robustpeft.errors import UserError
    from robustpeft.records import read_study_record
    from robustpeft.report.study import write_study_report

    if len(given) > 1:
        raise UserError(f"{study} is a study, which has a report of its own; got {len(given)} paths")
    if format_ != "html":
        raise UserError(f"{study} is a study: its report is html (and Markdown), not {format_}")
    print(f"report: {write_study_report(read_study_record(study), output)}")


def show_report(records: Sequence[AuditRecord], output: Path) -> None:
    """Write the report, print its headline table, and its path last."""
    from rich.console import Console

    from robustpeft.report import terminal_headlines, terminal_ladder, terminal_table, write_report

    page = write_report(records, output)
    console = Console()
    console.print(*terminal_headlines(records), sep="\n")
    if (ladder := terminal_ladder(records)) is not None:
        console.print(ladder)
    console.print(terminal_table(records))
    print(f"report: {page}")
