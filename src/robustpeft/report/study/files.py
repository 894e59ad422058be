"""Which files does the report of a study consist of? A page, the same as Markdown, and all tables and figures apart."""

from __future__ import annotations

from pathlib import Path

from robustpeft.records import StudyRecord, write_text
from robustpeft.records.long_table import study_rows
from robustpeft.report.drawing import Drawing, rows_csv, write_drawing
from robustpeft.report.study.outline import Item, Shown, outline, sources_of
from robustpeft.report.study.page import render_study_html
from robustpeft.report.study.tables import TextTable, table_latex, table_text

__all__ = ["write_study_report"]


def write_study_report(study: StudyRecord, directory: str | Path | None = None) -> Path:
    """Write everything that a study shows, and return the path of ``report.md``.

    ``report.md``, and the same as one page, ``report.html``; every table as ``.csv`` and ``.tex``; every figure as
    ``.svg`` and ``.pdf`` with its numbers as ``.csv``; ``records.csv``, the long table; ``sources.bib``.

    Args:
        study: Its record.
        directory: Where to; ``report`` in the study's directory if None.
    """
    folder = Path(directory) if directory is not None else study.directory / "report"
    sections, sources = outline(study), sources_of(study)
    write_text(folder / "report.html", render_study_html(study, sections, sources))
    blocks = [f"# {study.name}{f', scale {study.scale}' if study.scale else ''}"]
    blocks += [study.question] if study.question else []
    for section in sections:
        blocks += [f"## {section.title}", *(_markdown(item, folder) for item in section.items)]
    blocks = [block.replace("<", "&lt;") for block in blocks]  # names of arms may be anything, and hold HTML
    if sources:
        text = "\n".join(sources)
        blocks += ["## Sources", f"```bibtex\n{text}\n```"]
        write_text(folder / "sources.bib", f"{text}\n")
    write_text(folder / "records.csv", rows_csv(study_rows(study)))
    write_text(folder / "report.md", "\n\n".join(blocks) + "\n")
    return folder / "report.md"


def _markdown(item: Item, folder: Path) -> str:
    """Return an item as Markdown; what is shown is written beside it."""
    if isinstance(item, str):
        return item
    if isinstance(item, tuple):
        return "\n".join(f"- {sentence}" for sentence in item)
    return _drawn(item, folder) if isinstance(item.content, Drawing) else _table(item.content, item.name, folder)


def _drawn(item: Shown, folder: Path) -> str:
    assert isinstance(item.content, Drawing)
    return write_drawing(item.content, folder, item.name)


def _table(table: TextTable, name: str, folder: Path) -> str:
    rows = [dict(zip(table.heads, row, strict=True)) for row in table.rows]
    write_text(folder / f"{name}.csv", rows_csv(rows))
    write_text(folder / f"{name}.tex", table_latex(table, name))
    return f"{table.title}.\n\n{table_text(table)}"
