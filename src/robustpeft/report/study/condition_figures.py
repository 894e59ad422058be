"""How does accuracy fall with the strength of a perturbation? A panel for each, all arms in each."""

from __future__ import annotations

from matplotlib.figure import Figure

from robustpeft.records import Measurement
from robustpeft.report.drawing import Drawing, legend_beside
from robustpeft.report.figures import plot_axes
from robustpeft.report.study.figures import band, shown_arms, spread_row
from robustpeft.report.study.summary import GridSummary
from robustpeft.report.svg import INK
from robustpeft.report.wording import condition_name, number_text, strength_field

__all__ = ["perturbation_figure"]

_COLUMNS = 2


def perturbation_figure(grid: GridSummary) -> Drawing | None:
    """Return one panel per perturbation that was measured at some strength for all arms; None if there is none.

    Bands are one standard deviation over seeds; the arms are those of the curves over epsilon.
    """
    panels = _panels(grid)
    if not panels:
        return None
    arms = shown_arms(grid) if grid.headline is not None else list(grid.arms)
    lines = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(8.2, 2.75 * lines))
    rows = []
    for place, (name, measured) in enumerate(panels.items()):
        left, top = 0.075 + 0.41 * (place % _COLUMNS), 1 - (place // _COLUMNS) / lines
        axes = plot_axes(figure)
        axes.set_position((left, top - 0.8 / lines, 0.33, 0.68 / lines))
        field = strength_field(measured[0])
        is_count = isinstance(measured[0].settings.get(field), int)
        strengths = [m.strength or 0.0 for m in measured]
        x = [float(i) for i in range(len(strengths) + 1)] if is_count else [0.0, *strengths]
        for index, summary in enumerate(arms):
            spreads = [summary.measured["clean"], *(summary.measured[m.key] for m in measured)]
            band(axes, x, spreads, index, summary.arm.label)
            rows += [
                spread_row(summary, spread, perturbation=name, **{"strength": strength})
                for strength, spread in zip((0.0, *strengths), spreads, strict=True)
            ]
        axes.set_xticks(x, ["none", *(number_text(s) for s in strengths)])
        axes.set_title(condition_name(name), fontsize=10, color=INK, loc="left")
        axes.set_xlabel(field.replace("_", " "), color=INK)
        if place % _COLUMNS:
            axes.set_ylabel("")
        if place == min(_COLUMNS, len(panels)) - 1:
            legend_beside(axes)
    spoken = f"Panels of {', '.join(map(condition_name, panels))} for {', '.join(s.arm.label for s in arms)}."
    return Drawing(figure, "Accuracy against the strength of each perturbation", spoken, rows)


def _panels(grid: GridSummary) -> dict[str, list[Measurement]]:
    """Return the measurements of each perturbation in order of strength, where every arm has them."""
    found: dict[str, list[Measurement]] = {}
    for m in (m for m in grid.example.measurements if m.kind == "perturbation"):
        if m.name != "corruption" and m.strength and all(m.key in summary.measured for summary in grid.arms):
            found.setdefault(m.name, []).append(m)
    several = {name: measured for name, measured in found.items() if len(measured) > 1}
    return {name: sorted(measured, key=lambda m: m.strength or 0.0) for name, measured in several.items()}
