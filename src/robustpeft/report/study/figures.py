"""What do the numbers of a study look like? SVG files that stand alone: budgets and their front, epsilon curves."""

from __future__ import annotations

import math
import re

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustpeft.report.figures import plot_axes, series_color, series_style
from robustpeft.report.study.findings import front
from robustpeft.report.study.summary import ArmSummary, GridSummary
from robustpeft.report.svg import INK, figure_svg
from robustpeft.report.wording import number_text

__all__ = ["MOST_CURVES", "budget_figure", "curve_figure", "standalone"]

MOST_CURVES = 7
_SIZE = (6.4, 4.2)


def budget_figure(grid: GridSummary, name: str, *, on_page: bool = False) -> str | None:
    """Return robust accuracy at the headline threat against trained parameters, a line per group, with the front.

    Bars are standard deviations over seeds. None without a threat or with a single arm. `on_page`: in the colours of
    the page that it becomes a part of, and not as a file of its own.
    """
    if grid.headline is None or len(grid.arms) < 2:
        return None
    figure, axes = _plot()
    groups = list(dict.fromkeys(summary.arm.group for summary in grid.arms))
    for index, group in enumerate(groups):
        arms = sorted((s for s in grid.arms if s.arm.group == group), key=lambda s: s.num_trained)
        means = [100 * s.robust[grid.headline].mean for s in arms]
        bars = [0.0 if math.isnan(d := s.robust[grid.headline].deviation) else 100 * d for s in arms]
        sizes = [s.num_trained for s in arms]
        axes.errorbar(sizes, means, yerr=bars, label=group, elinewidth=1, **series_style(index))
    best = front(grid)
    axes.step(
        [s.num_trained for s in best],
        [100 * s.robust[grid.headline].mean for s in best],
        where="post",
        color=INK,
        linewidth=0.8,
        linestyle="dotted",
        label="Pareto front",
    )
    axes.set_xscale("log")
    axes.tick_params(which="minor", color=INK)
    axes.set_xlabel("trained parameters", color=INK)
    where = f"{grid.headline.norm} {number_text(grid.headline.epsilon)}"
    axes.set_ylabel(f"robust accuracy (%), {where}", color=INK)
    _legend(axes)
    spoken = " ".join(
        f"{s.arm.label}: {s.num_trained} parameters, {100 * s.robust[grid.headline].mean:.1f} %." for s in grid.arms
    )
    drawn = figure_svg(figure, name, f"Robust accuracy against trained parameters, {where}", spoken)
    return drawn if on_page else standalone(drawn)


def curve_figure(grid: GridSummary, name: str, *, on_page: bool = False) -> str | None:
    """Return accuracy under all attacks against epsilon, with bands of one standard deviation over seeds.

    At most `MOST_CURVES` arms are drawn: the best of each group at the headline threat, in the order of the file.
    """
    if grid.headline is None:
        return None
    threats = [t for t in grid.threats if t.norm == grid.headline.norm]
    figure, axes = _plot()
    shown = _shown(grid)
    for index, summary in enumerate(shown):
        spreads = [summary.measured["clean"], *(summary.robust[threat] for threat in threats)]
        x = [0.0, *(threat.epsilon for threat in threats)]
        means = [100 * spread.mean for spread in spreads]
        width = [0.0 if math.isnan(spread.deviation) else 100 * spread.deviation for spread in spreads]
        low, high = ([m + sign * w for m, w in zip(means, width, strict=True)] for sign in (-1, 1))
        axes.fill_between(x, low, high, color=series_color(index), alpha=0.13, linewidth=0)
        axes.plot(x, means, label=summary.arm.label, **series_style(index))
    axes.set_xticks([0.0, *(t.epsilon for t in threats)], ["clean", *(number_text(t.epsilon) for t in threats)])
    axes.set_xlabel(f"epsilon, {grid.headline.norm}", color=INK)
    _legend(axes)
    spoken = f"Curves of {', '.join(summary.arm.label for summary in shown)}."
    drawn = figure_svg(figure, name, "Accuracy under all attacks against epsilon", spoken)
    return drawn if on_page else standalone(drawn)


def standalone(svg: str) -> str:
    """Return a figure made for a page as a file of its own: plain colours, a font, and the name space."""
    fixed = re.sub(r"var\(--[a-z0-9-]+, (#[0-9a-f]+)\)", r"\1", svg).replace("currentColor", "#222222")
    head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" font-family="sans-serif"'
    return f"{fixed.replace('<svg', head, 1)}\n"


def _shown(grid: GridSummary) -> list[ArmSummary]:
    """Return all arms if they are few, or else the best of each group, as many as there are colours."""
    assert grid.headline is not None
    if len(grid.arms) <= MOST_CURVES:
        return list(grid.arms)
    best: dict[str, ArmSummary] = {}
    for summary in grid.arms:
        other = best.get(summary.arm.group)
        if other is None or summary.robust[grid.headline].mean > other.robust[grid.headline].mean:
            best[summary.arm.group] = summary
    return list(best.values())[:MOST_CURVES]


def _plot() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE)
    axes = plot_axes(figure)
    axes.set_position((0.1, 0.13, 0.6, 0.83))
    return figure, axes


def _legend(axes: Axes) -> None:
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8, labelcolor=INK)
    for text in legend.get_texts():
        text.set_parse_math(False)
