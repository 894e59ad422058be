"""What is a figure of a study? One drawing, and the numbers in it: the same as SVG, as PDF and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustpeft.records import write_text
from robustpeft.report.svg import INK, figure_pdf, figure_svg, standalone_svg

__all__ = ["Drawing", "legend_beside", "rows_csv", "write_drawing"]


@dataclass(frozen=True)
class Drawing:
    """A figure in the placeholder colours of `svg.py`, and what it shows.

    Args:
        figure: Drawn once; every file is made of it.
        title: In words.
        spoken: What it shows, for those who hear it.
        rows: Its numbers, one row per mark.
    """

    figure: Figure
    title: str
    spoken: str
    rows: Sequence[Mapping[str, Any]]


def write_drawing(drawing: Drawing, folder: Path, name: str) -> str:
    """Write ``name.svg``, ``name.pdf`` and ``name.csv``, and return the Markdown that shows the first."""
    svg = standalone_svg(figure_svg(drawing.figure, name, drawing.title, drawing.spoken))
    write_text(folder / f"{name}.svg", svg)
    (folder / f"{name}.pdf").write_bytes(figure_pdf(drawing.figure))
    write_text(folder / f"{name}.csv", rows_csv(drawing.rows))
    return f"![{drawing.title}]({name}.svg)\n\n{drawing.title} ([PDF]({name}.pdf), [numbers]({name}.csv))."


def legend_beside(axes: Axes) -> None:
    """Put the legend to the right of the axes; labels are text and never formulas."""
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8, labelcolor=INK)
    for text in legend.get_texts():
        text.set_parse_math(False)


def rows_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV; a column is there if any row has it."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
