"""How is a curve drawn that goes in steps? As what it is: level, until one more image is turned."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.figure import Figure

from robustpeft.report.figures import plot_axes, series_color, series_style
from robustpeft.report.step_panels import StepCurve, StepPanel
from robustpeft.report.svg import INK, figure_svg
from robustpeft.report.wording import percent_text

__all__ = ["step_figure"]

_SIZE = (4.7, 3.1)
_FIRST = 0.8  # left of the first question, on an axis of ratios that has no 0


def step_figure(panel: StepPanel, name: str) -> str:
    """Return the panel as SVG, a line with its 95 % band per subject; `name` is unique on the page."""
    figure = Figure(figsize=_SIZE)
    axes = plot_axes(figure)
    end = _end(panel)
    if panel.logarithmic:
        axes.set_xscale("log")
    for index, curve in enumerate(panel.curves):
        if not curve.points:
            continue
        steps = [(x, rate) for x, rate in curve.points if x <= end]
        places = [*(max(x, _FIRST) if panel.logarithmic else x for x, _ in steps), min(curve.end, end)]
        rates = [*(rate for _, rate in steps), steps[-1][1]]
        low, high = zip(*(rate.interval() for rate in rates), strict=True)
        shade: dict[str, Any] = {"color": series_color(index), "alpha": 0.13, "linewidth": 0}
        axes.fill_between(places, [100 * v for v in low], [100 * v for v in high], step="post", **shade)
        style = series_style(index)
        axes.plot(
            places, [100 * r.fraction for r in rates], drawstyle="steps-post", **{**style, "marker": ""}, clip_on=False
        )
        marked = [(x, rate) for x in panel.places if (rate := curve.at(x)) is not None and x <= end]
        dots = {**style, "linestyle": ""}
        axes.plot([x for x, _ in marked], [100 * rate.fraction for _, rate in marked], clip_on=False, **dots)
    places = [place for place in panel.places if place <= end]
    if not panel.logarithmic:
        places = [0.0, *(place for place in places if place >= end / 10)]
    axes.minorticks_off()
    axes.set_xticks(places, [panel.name(place) for place in places])
    axes.set_xlim(_FIRST if panel.logarithmic else 0, end)
    axes.set_xlabel(panel.axis, color=INK, parse_math=False)
    axes.set_ylabel(panel.rate, color=INK)
    return figure_svg(figure, name, f"{panel.title}: {panel.rate}", " ".join(_spoken(panel, c) for c in panel.curves))


def _end(panel: StepPanel) -> float:
    """Return the right end: the last question, or four times the radius; with no radius, the largest size found."""
    if panel.logarithmic:
        return max((curve.end for curve in panel.curves), default=1) or 1
    end = max(panel.places, default=0.0)
    return end if end > 0 and math.isfinite(end) else 1.0


def _spoken(panel: StepPanel, curve: StepCurve) -> str:
    said = [
        f"{percent_text(rate.fraction)} % at {panel.name(place)}"
        for place in panel.places
        if (rate := curve.at(place)) is not None
    ]
    return f"{curve.label}: {', '.join(said) or 'not measured'}."
