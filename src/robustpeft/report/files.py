"""Where does a report lie? As ``report.html`` with the same numbers in ``report.md`` beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robustpeft.records import AuditRecord, write_text
from robustpeft.report.markdown import render_markdown
from robustpeft.report.page import render_html

__all__ = ["write_report"]


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
