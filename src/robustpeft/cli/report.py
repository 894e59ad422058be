"""``robustpeft report``: how are records shown again, without a model?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from robustpeft.records import AuditRecord

__all__ = ["report", "show_report"]


def report(
    records: Annotated[
        list[Path], typer.Argument(metavar="RECORD", help="Files audit.json, or the directories that hold them.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Directory of the report.", show_default="the one that holds all records"),
    ] = None,
) -> None:
    """Write one report, HTML and Markdown, on records of audits that were made alike."""
    from robustpeft.records import read_record

    read = [read_record(path) for path in records]
    folders = [path if path.is_dir() else path.parent for path in records]
    show_report(read, output or Path(os.path.commonpath([folder.resolve() for folder in folders])))


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
