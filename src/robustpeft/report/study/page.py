"""How does a study look as something to send? As one HTML page that needs no network, no script and no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from robustpeft.records import StudyRecord
from robustpeft.report.study.figures import MOST_CURVES, budget_figure, curve_figure
from robustpeft.report.study.findings import findings
from robustpeft.report.study.summary import GridSummary
from robustpeft.report.study.tables import TextTable, condition_table, main_table, trial_table
from robustpeft.report.templating import page_templates

__all__ = ["render_study_html"]

LIMITS = (
    "Robust accuracies are upper bounds: the attacks that were run found nothing on these images, another may.",
    "Seeds vary the tuning, not the images: differences smaller than the intervals over images may be chance.",
    "What was compared is what the grids hold, at the sizes and with the trials they name; more of either may differ.",
)


@dataclass(frozen=True)
class _Grid:
    """A grid of the study as the page shows it: figures are HTML already, and their numbers stand in the tables."""

    name: str
    main: TextTable
    figures: tuple[tuple[str, Markup], ...]
    note: str
    details: tuple[TextTable, ...]


def render_study_html(study: StudyRecord, grids: Sequence[GridSummary], protocol: str) -> str:
    """Return the study as one HTML document; every text of the study is escaped.

    Args:
        study: Its record.
        grids: Its grids that have been judged.
        protocol: One paragraph: what was chosen how, and who judged.
    """
    return (
        page_templates()
        .get_template("study.html")
        .render(
            title=f"{study.name}{f', scale {study.scale}' if study.scale else ''}",
            question=study.question,
            protocol=protocol,
            findings=findings(study, grids),
            grids=[_shown(grid, f"grid-{index}") for index, grid in enumerate(grids)],
            trials=trial_table(study),
            sources=study.sources,
            limits=LIMITS,
        )
    )


def _shown(grid: GridSummary, name: str) -> _Grid:
    drawn = (
        ("Robust accuracy against trained parameters", budget_figure(grid, f"{name}-budgets", on_page=True)),
        ("Accuracy under all attacks against epsilon", curve_figure(grid, f"{name}-epsilon", on_page=True)),
    )
    # Drawn by this package; whatever came from a record was escaped on the way in.
    figures = tuple((title, Markup(svg)) for title, svg in drawn if svg is not None)  # noqa: S704
    tables = tuple(table for kind in ("attack", "perturbation") if (table := condition_table(grid, kind)) is not None)
    note = "The curves show the best arm of each group." if len(grid.arms) > MOST_CURVES else ""
    return _Grid(grid.name, main_table(grid), figures, note, tables)
