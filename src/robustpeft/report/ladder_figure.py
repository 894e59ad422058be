"""What does the ladder look like? A dot with its interval for every attacker and model, on one scale."""

from __future__ import annotations

from matplotlib.figure import Figure

from robustpeft.report.figures import series_color, series_style
from robustpeft.report.ladder import Ladder
from robustpeft.report.svg import GRID, INK, figure_svg
from robustpeft.report.wording import rate_text

__all__ = ["ladder_figure"]

_WIDTH = 7.6
_LEFT = 1.45
_TEXT_SIZE = 9.5


def ladder_figure(ladder: Ladder, name: str) -> str:
    """Return the ladder as SVG, the weakest attacker on top; `name` is unique on the page.

    Models differ in marker and place as well as in colour. Where nothing was measured it says so.
    """
    count = len(ladder.labels)
    row = max(0.42, 0.17 * count + 0.14)
    height = row * len(ladder.steps) + 0.55
    figure = Figure(figsize=(_WIDTH, height))
    axes = figure.add_axes((_LEFT / _WIDTH, 0.47 / height, 1 - (_LEFT + 0.2) / _WIDTH, 1 - 0.52 / height))
    for place, step in enumerate(ladder.steps):
        axes.axhline(place, color=GRID, linewidth=0.8, zorder=0)
        for index, entry in enumerate(step.entries):
            y = place + (index - (count - 1) / 2) * 0.17 / row
            if entry.correct is None:
                axes.text(1, y, "not measured", color=INK, alpha=0.65, va="center", fontsize=8.5, style="italic")
                continue
            low, high = entry.correct.interval()
            axes.hlines([y], 100 * low, 100 * high, color=series_color(index), linewidth=2.2, alpha=0.55)
            style = {**series_style(index), "markersize": 7}
            axes.plot([100 * entry.correct.fraction], [y], clip_on=False, **style)
    axes.set_ylim(len(ladder.steps) - 0.5, -0.5)
    axes.set_yticks(range(len(ladder.steps)), [step.title for step in ladder.steps])
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 25))
    axes.set_xlabel("still recognised (% of the images)", color=INK, fontsize=_TEXT_SIZE)
    axes.tick_params(length=0, pad=6, colors=INK, labelsize=_TEXT_SIZE)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(INK)
        spine.set_linewidth(0.8)
    return figure_svg(figure, name, f"{ladder.title}: images still recognised, by attacker", _spoken(ladder))


def _spoken(ladder: Ladder) -> str:
    return " ".join(
        f"{step.title}, {entry.label}: {'not measured' if entry.correct is None else rate_text(entry.correct)}."
        for step in ladder.steps
        for entry in step.entries
    )
