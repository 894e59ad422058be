"""How robust are the arms of a study? Figures over budgets with their front, over epsilons, over changes."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustpeft.report.drawing import Drawing, legend_beside
from robustpeft.report.figures import plot_axes, series_color, series_style, spaced
from robustpeft.report.study.findings import front
from robustpeft.report.study.summary import ArmSummary, GridSummary, Spread
from robustpeft.report.study.tables import marked
from robustpeft.report.svg import GRID, INK
from robustpeft.report.wording import number_text
from robustpeft.report.worst_case import MainThreat

__all__ = ["MOST_CURVES", "bar_figure", "budget_figure", "curve_figure", "shown_arms", "spread_row"]

MOST_CURVES = 7
_SIZE = (6.4, 4.2)


def budget_figure(grid: GridSummary) -> Drawing | None:
    """Return robust accuracy at the headline threat against trained parameters, a line per group, with the front.

    Bars are standard deviations over seeds. None without a threat or with a single arm.
    """
    threat = grid.headline
    if threat is None or len(grid.arms) < 2:
        return None
    figure, axes = _plot()
    for index, group in enumerate(dict.fromkeys(summary.arm.group for summary in grid.arms)):
        arms = sorted((s for s in grid.arms if s.arm.group == group), key=lambda s: s.num_trained)
        means = [100 * s.robust[threat].mean for s in arms]
        bars = [100 * _width(s.robust[threat]) for s in arms]
        axes.errorbar([s.num_trained for s in arms], means, yerr=bars, label=group, elinewidth=1, **series_style(index))
    best = front(grid)
    axes.step(
        [s.num_trained for s in best],
        [100 * s.robust[threat].mean for s in best],
        where="post",
        color=INK,
        linewidth=0.8,
        linestyle="dotted",
        label="Pareto front",
    )
    axes.set_xscale("log")
    axes.set_xlabel("trained parameters, head included", color=INK)
    axes.set_ylabel(f"robust accuracy (%), {_where(threat)}", color=INK)
    legend_beside(axes)
    spoken = " ".join(
        f"{s.arm.label}: {s.num_trained} parameters, {100 * s.robust[threat].mean:.1f} %." for s in grid.arms
    )
    rows = [
        spread_row(s, s.robust[threat], group=s.arm.group, trained=s.num_trained, front=s in best) for s in grid.arms
    ]
    return Drawing(figure, f"Robust accuracy against trained parameters, {_where(threat)}", spoken, rows)


def curve_figure(grid: GridSummary) -> Drawing | None:
    """Return accuracy under all attacks against epsilon, with bands of one standard deviation over seeds.

    At most `MOST_CURVES` arms are drawn: the best of each group at the headline threat, in the order of the file. None
    without two radii: straight lines to a single one would look like a measurement in between.
    """
    threats = [t for t in grid.threats if grid.headline is not None and t.norm == grid.headline.norm]
    if grid.headline is None or len(threats) < 2:
        return None
    figure, axes = _plot()
    rows = []
    for index, summary in enumerate(shown_arms(grid)):
        spreads = [summary.measured["clean"], *(summary.robust[threat] for threat in threats)]
        x = [0.0, *(threat.epsilon for threat in threats)]
        band(axes, x, spreads, index, marked(summary))
        rows += [spread_row(summary, spread, epsilon=e) for e, spread in zip(x, spreads, strict=True)]
    in_255ths = any("/255" in number_text(threat.epsilon) for threat in threats)
    ticks = spaced([0.0, *(threat.epsilon for threat in threats)])
    axes.set_xticks(ticks, [number_text(255 * tick if in_255ths else tick) if tick else "clean" for tick in ticks])
    axes.set_xlabel(f"epsilon{' (in 1/255)' if in_255ths else ''}, {grid.headline.norm}", color=INK)
    legend_beside(axes)
    spoken = f"Curves of {', '.join(summary.arm.label for summary in shown_arms(grid))}."
    return Drawing(figure, "Accuracy under all attacks tried up to epsilon, +- one deviation over seeds", spoken, rows)


def bar_figure(grid: GridSummary, reference: str) -> Drawing | None:
    """Return a bar per arm at the headline threat, with deviations over seeds, and a line at the reference.

    The light bar behind it is accuracy without an attack. None without a threat or the reference.
    """
    threat = grid.headline
    base = next((summary for summary in grid.arms if summary.arm.label == reference), None)
    if threat is None or base is None:
        return None
    count = len(grid.arms)
    height = 0.9 + 0.34 * count
    figure = Figure(figsize=(6.4, height))
    axes = plot_axes(figure)
    axes.set_position((0.36, 0.55 / height, 0.6, 1 - 0.62 / height))
    places = range(count)
    axes.barh(places, [100 * s.measured["clean"].mean for s in grid.arms], 0.68, color=GRID, label="clean")
    axes.barh(
        places,
        [100 * s.robust[threat].mean for s in grid.arms],
        0.42,
        xerr=[100 * _width(s.robust[threat]) for s in grid.arms],
        color=series_color(0),
        ecolor=INK,
        capsize=2,
    )
    for place, summary in zip(places, grid.arms, strict=True):
        spread = summary.robust[threat]
        end = 100 * (spread.mean + _width(spread))
        axes.text(end + 1.2, place, f"{100 * spread.mean:.1f}", color=INK, va="center", fontsize=8.5)
    axes.axvline(100 * base.robust[threat].mean, color=INK, linewidth=0.8, linestyle="dotted")
    axes.set_yticks(list(places), [marked(s) for s in grid.arms], parse_math=False)
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 25))
    axes.set_ylabel("")
    axes.grid(visible=False)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_xlabel(f"accuracy (%): light clean, dark {_where(threat)}; dotted: {reference}", color=INK)
    axes.xaxis.label.set_parse_math(False)
    axes.xaxis.label.set_x(0.3)
    spoken = " ".join(f"{s.arm.label}: {100 * s.robust[threat].mean:.1f} %." for s in grid.arms)
    rows = [spread_row(s, s.robust[threat], clean=s.measured["clean"].mean) for s in grid.arms]
    return Drawing(figure, f"Robust accuracy of every arm, {_where(threat)}, against {reference}", spoken, rows)


def band(axes: Axes, x: list[float], spreads: list[Spread], index: int, label: str) -> None:
    """Draw one arm's curve with a band of one standard deviation over seeds."""
    means = [100 * spread.mean for spread in spreads]
    width = [100 * _width(spread) for spread in spreads]
    low, high = ([m + sign * w for m, w in zip(means, width, strict=True)] for sign in (-1, 1))
    axes.fill_between(x, low, high, color=series_color(index), alpha=0.13, linewidth=0)
    axes.plot(x, means, label=label, **series_style(index))


def shown_arms(grid: GridSummary) -> list[ArmSummary]:
    """Return all arms if they are few, or else the best of each group that has not collapsed, as many as colours."""
    assert grid.headline is not None
    if len(grid.arms) <= MOST_CURVES:
        return list(grid.arms)
    best: dict[str, ArmSummary] = {}
    for summary in grid.arms:
        other = best.get(summary.arm.group)
        if other is None or _rank(summary, grid.headline) > _rank(other, grid.headline):
            best[summary.arm.group] = summary
    return list(best.values())[:MOST_CURVES]


def spread_row(summary: ArmSummary, spread: Spread, **more: Any) -> dict[str, Any]:
    """Return one row of a figure's numbers: shares in [0, 1], the interval Wilson's over images."""
    low, high = spread.interval()
    return {
        "arm": summary.arm.label,
        **more,
        "mean": spread.mean,
        "deviation": spread.deviation,
        "low": low,
        "high": high,
        "seeds": len(spread.shares),
        "n": spread.n,
    }


def _rank(summary: ArmSummary, threat: MainThreat) -> tuple[bool, float]:
    return not summary.collapsed, summary.robust[threat].mean


def _width(spread: Spread) -> float:
    return 0.0 if math.isnan(spread.deviation) else spread.deviation


def _where(threat: MainThreat) -> str:
    return f"{threat.norm} {number_text(threat.epsilon)}"


def _plot() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE)
    axes = plot_axes(figure)
    axes.set_position((0.1, 0.13, 0.6, 0.83))
    return figure, axes
