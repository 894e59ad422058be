"""What does a transfer matrix look like? A heat map in one hue, its numbers written into it, numbers for the names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from robustpeft.records import TransferRecord
from robustpeft.report.svg import GRID, INK, SERIES, figure_svg
from robustpeft.report.transfer_tables import spoken_matrix
from robustpeft.report.wording import percent_text

__all__ = ["matrix_figure", "transfer_figure"]

_SHORT = 4  # letters of a name that fits over its column
_FULLEST = 0.5  # so that the page's ink can be read on it


def transfer_figure(record: TransferRecord, name: str) -> str:
    """Return the matrix as SVG for a page, with numbers for the names."""
    names = [str(number + 1) for number in range(len(record.subjects))]
    figure = matrix_figure(record, names, (0.75, 0.65))
    return figure_svg(figure, name, "Images that stay right, in percent, by source and target", spoken_matrix(record))


def matrix_figure(record: TransferRecord, names: Sequence[str], margins: tuple[float, float]) -> Figure:
    """Return the matrix: the fuller a square of colour, the more images stay right; the diagonal is framed.

    Lightness alone carries the share, so that it reads without colour; the share stands in every square.

    Args:
        record: The matrix.
        names: One per model.
        margins: Inches to the left and above, for the names.
    """
    count = len(record.subjects)
    side = min(0.9, 5.0 / count)
    right = 0.05 * len(names[-1]) if max(map(len, names)) > _SHORT else 0.15  # a slanted name reaches beyond its column
    figure = Figure(figsize=(margins[0] + right + side * count, margins[1] + 0.1 + side * count))
    width, height = figure.get_size_inches()
    axes = figure.add_axes((margins[0] / width, 0.1 / height, side * count / width, side * count / height))
    for source in range(count):
        for target in range(count):
            share = record.kept(source, target).fraction
            corner = (target, source)
            axes.add_patch(Rectangle(corner, 1, 1, facecolor=SERIES[0], alpha=_FULLEST * share, linewidth=0))
            own = source == target
            axes.text(
                target + 0.5,
                source + 0.5,
                percent_text(share),
                color=INK,
                ha="center",
                va="center",
                fontsize=9.5,
                fontweight="bold" if own else "normal",
            )
    for line in range(count + 1):
        axes.plot([0, count], [line, line], color=GRID, linewidth=0.8, clip_on=False)
        axes.plot([line, line], [0, count], color=GRID, linewidth=0.8, clip_on=False)
    for place in range(count):
        frame = Rectangle((place + 0.03, place + 0.03), 0.94, 0.94, fill=False, edgecolor=INK, linewidth=1.4)
        axes.add_patch(frame)
    axes.set_xlim(0, count)
    axes.set_ylim(count, 0)
    places = [number + 0.5 for number in range(count)]
    slant: dict[str, Any] = {"rotation": 40, "ha": "left"} if max(map(len, names)) > _SHORT else {}
    axes.set_xticks(places, names, parse_math=False, **slant)
    axes.set_yticks(places, names, parse_math=False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("shown to", color=INK, fontsize=9.5)
    axes.set_ylabel("made against", color=INK, fontsize=9.5)
    axes.tick_params(length=0, pad=5, colors=INK, labelsize=9.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure
