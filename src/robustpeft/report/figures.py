"""What do the numbers look like? SVG figures that can be told apart without colour, on light, dark and paper.

No text of a user is drawn: labels stand in the page around the figures, where they wrap and need no font of ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustpeft.records import AuditRecord, Rate
from robustpeft.report.curves import Panel
from robustpeft.report.svg import GRID, INK, SERIES, figure_svg
from robustpeft.report.wording import number_text, percent_text, rate_text
from robustpeft.report.worst_case import main_threats, worst_case

__all__ = ["cost_figure", "panel_figure", "plot_axes", "series_color", "series_style", "spaced", "swatch"]

# Lengths 7, 6 and 4 have no two subjects alike in all three before the 84th.
_MARKERS = ("o", "s", "^", "D", "v", "P")
_DASHES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))
_SIZE = (4.7, 3.1)
_TEXT_SIZE = 9.5


def panel_figure(panel: Panel, name: str) -> str:
    """Return accuracy against strength as SVG: a line with its 95 % band per subject; `name` is unique on the page."""
    figure = Figure(figsize=_SIZE)
    axes = plot_axes(figure)
    place, in_255ths = _places(panel)
    for index, curve in enumerate(panel.curves):
        strengths = [place[strength] for strength, _ in curve.points]
        low, high = _bounds([rate for _, rate in curve.points])
        axes.fill_between(strengths, low, high, color=series_color(index), alpha=0.13, linewidth=0)
        axes.plot(strengths, [100 * rate.fraction for _, rate in curve.points], clip_on=False, **series_style(index))
    ticks = spaced(list(place.values()))
    names = {x: number_text(255 * s if in_255ths else s) if s else "clean" for s, x in place.items()}
    axes.set_xticks(ticks, [names[tick] for tick in ticks])
    axes.set_xlim(0, max(ticks, default=0) or 1)
    axes.set_xlabel(f"{panel.axis} (in 1/255)" if in_255ths else panel.axis, color=INK, parse_math=False)
    title = f"Accuracy against {panel.axis}: {panel.title}"
    return figure_svg(figure, name, title, " ".join(_spoken_curve(panel, i) for i in range(len(panel.curves))))


def cost_figure(records: Sequence[AuditRecord], name: str) -> str | None:
    """Return worst-case accuracy against the share of trained parameters as SVG.

    None if there are fewer than two subjects or no attack is common to them.
    """
    threats = main_threats(records)
    if len(records) < 2 or not threats:
        return None
    rates = [case.correct for record in records if (case := worst_case(record, threats[0])) is not None]
    shares = [100 * record.subject.num_trained / record.subject.num_parameters for record in records]
    figure = Figure(figsize=_SIZE)
    axes = plot_axes(figure)
    positions, ticks, names = _log_positions(shares)
    for index, (x, rate) in enumerate(zip(positions, rates, strict=True)):
        low, high = _bounds([rate])
        axes.vlines([x], low, high, color=series_color(index), linewidth=1.4, alpha=0.7)
        axes.plot([x], [100 * rate.fraction], clip_on=False, **{**series_style(index), "markersize": 8})
    axes.set_xticks(ticks, names)
    axes.set_xlim(min(ticks) - 0.3, max(ticks) + 0.1)
    axes.set_xlabel("trained parameters, % of the model", color=INK)
    axes.set_ylabel("worst-case accuracy (%)", color=INK)
    described = (
        f"{r.subject.label}: {percent_text(share / 100)} % trained, {rate_text(rate)} correct."
        for r, share, rate in zip(records, shares, rates, strict=True)
    )
    return figure_svg(figure, name, "Worst-case accuracy against trained parameters", " ".join(described))


def swatch(index: int, name: str) -> str:
    """Return the line and marker of the subject at `index`, for a legend; `name` is unique on the page."""
    figure = Figure(figsize=(0.42, 0.16))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.plot([0, 1, 2], [0, 0, 0], **series_style(index), markevery=[1])
    return figure_svg(figure, name)


def _places(panel: Panel) -> tuple[dict[float, float], bool]:
    """Return where each strength lies on the x axis, and whether it reads in units of 1/255."""
    if panel.is_count:
        return {strength: float(index) for index, strength in enumerate(panel.strengths)}, False
    in_255ths = any("/255" in number_text(strength) for strength in panel.strengths)
    return {strength: strength for strength in panel.strengths}, in_255ths


def plot_axes(figure: Figure) -> Axes:
    """Return axes for accuracies in percent."""
    axes = figure.add_axes((0.125, 0.165, 0.845, 0.79))
    axes.set_ylim(0, 100)
    axes.set_yticks(range(0, 101, 25))
    axes.set_ylabel("accuracy (%)", color=INK)
    axes.xaxis.label.set_fontsize(_TEXT_SIZE)
    axes.yaxis.label.set_fontsize(_TEXT_SIZE)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6, colors=INK, labelsize=_TEXT_SIZE)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(INK)
        spine.set_linewidth(0.8)
    return axes


def series_color(index: int) -> str:
    """Return the colour of the subject at `index`."""
    return SERIES[index % len(SERIES)]


def series_style(index: int) -> dict[str, Any]:
    """Return colour, marker and line of the subject at `index`."""
    return {
        "color": series_color(index),
        "marker": _MARKERS[index % len(_MARKERS)],
        "linestyle": _DASHES[index % len(_DASHES)],
        "linewidth": 1.8,
        "markersize": 5.5,
        "markeredgewidth": 0,
    }


def _bounds(rates: Sequence[Rate]) -> tuple[list[float], list[float]]:
    intervals = [rate.interval() for rate in rates]
    return [100 * low for low, _ in intervals], [100 * high for _, high in intervals]


def spaced(values: Sequence[float]) -> list[float]:
    """Return the values whose tick labels do not run into each other; the largest is always kept."""
    room = max(values, default=0.0) / 9
    kept: list[float] = []
    for value in sorted(values, reverse=True):
        if not kept or kept[-1] - value >= room:
            kept.append(value)
    return kept[::-1]


def _log_positions(shares: Sequence[float]) -> tuple[list[float], list[float], list[str]]:
    """Return x positions on a log axis that also has a place for 0, its ticks and their labels; in powers of ten."""
    lowest = math.floor(min((math.log10(share) for share in shares if share > 0), default=0.0))
    ticks = [float(power) for power in range(lowest, 3)]
    names = [f"{10.0**power:g}" for power in range(lowest, 3)]
    if any(share == 0 for share in shares):
        ticks, names = [lowest - 0.7, *ticks], ["0", *names]
    return [math.log10(share) if share > 0 else lowest - 0.7 for share in shares], ticks, names


def _spoken_curve(panel: Panel, index: int) -> str:
    curve = panel.curves[index]
    points = ", ".join(f"{percent_text(rate.fraction)} % at {number_text(strength)}" for strength, rate in curve.points)
    return f"{curve.label}: {points or 'not measured'}."
