"""Where does a report lie? As ``report.html`` with the same numbers in ``report.md`` beside it.

Or in the form in which RobustBench keeps its models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robustpeft.records import AuditRecord, write_json, write_text
from robustpeft.report.markdown import render_markdown
from robustpeft.report.page import render_html
from robustpeft.report.robustbench import RobustBenchEntry, robustbench_entry

__all__ = ["WrittenEntry", "write_report", "write_robustbench"]


def write_report(records: Sequence[AuditRecord], directory: str | Path) -> Path:
    """Write both files, each whole or not at all, and return the path of the HTML file.

    Raises:
        UserError: If there is no record, or they cannot be compared; then nothing is written.
    """
    page, text = render_html(records), render_markdown(records)
    directory = Path(directory)
    write_text(directory / "report.md", text)
    write_text(directory / "report.html", page)
    return directory / "report.html"


@dataclass(frozen=True)
class WrittenEntry:
    """An entry for RobustBench and the file that holds it."""

    entry: RobustBenchEntry
    path: Path


def write_robustbench(record: AuditRecord, directory: str | Path) -> WrittenEntry:
    """Write a record as a file of RobustBench's ``model_info``, below ``robustbench/DATASET/NORM/``.

    Raises:
        UserError: If the record has no number that fits; then nothing is written.
    """
    entry = robustbench_entry(record)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", record.subject.label).strip("-.") or "model"
    place = re.sub(r"[^A-Za-z0-9._/-]+", "-", entry.place).replace("..", "-")
    path = Path(directory) / "robustbench" / place / f"{name}.json"
    write_json(path, entry.fields)
    return WrittenEntry(entry, path)
