"""What does the report of a study say, in which order? Sections of sentences, tables and drawings, in no format yet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.records import StudyRecord
from robustpeft.report.drawing import Drawing
from robustpeft.report.study.citations import cited
from robustpeft.report.study.condition_figures import perturbation_figure
from robustpeft.report.study.figures import MOST_CURVES, bar_figure, budget_figure, curve_figure
from robustpeft.report.study.findings import findings
from robustpeft.report.study.protocol import protocol
from robustpeft.report.study.stage_figures import (
    distance_figure,
    distance_sentences,
    distance_table,
    transfer_drawing,
    transfer_pairs,
)
from robustpeft.report.study.summary import GridSummary, summarise_grids
from robustpeft.report.study.tables import (
    TextTable,
    budget_table,
    condition_table,
    cost_table,
    main_table,
    task_table,
    trial_table,
)
from robustpeft.report.transfer_tables import transfer_sentences

__all__ = ["Item", "Section", "Shown", "outline", "sources_of"]


@dataclass(frozen=True)
class Shown:
    """A table or a drawing.

    Args:
        name: Of its files, unique within the report.
        content: What is shown.
        detail: For those who ask for it: a page shows it folded.
    """

    name: str
    content: TextTable | Drawing
    detail: bool = False


Item = str | tuple[str, ...] | Shown
"""A paragraph, a list of sentences, or something shown."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    items: tuple[Item, ...]


def outline(study: StudyRecord) -> list[Section]:
    """Return everything that a study shows but for its title, its question and its sources."""
    grids = _grids(study)
    said = (*findings(study, grids), *_stage_sentences(study))
    sections = [
        Section("Findings", (said or "Nothing has been judged yet.",)),
        Section("Protocol", (protocol(study, grids),)),
    ]
    for name in study.grids:
        tasks = task_table(found := [grid for grid in grids if grid.grid == name])
        if tasks is not None:
            sections.append(Section(f"{name}, all data sets", (Shown(f"{_file(name)}-tasks", tasks),)))
        sections += [_of_grid(study, grid) for grid in found]
    sections += _of_stages(study)
    trials = trial_table(study)
    return [*sections, Section("Selection", (Shown("trials", trials, detail=True),))] if trials else sections


def sources_of(study: StudyRecord) -> tuple[str, ...]:
    """Return BibTeX of what was used: that of the file, and that of techniques, attacks and data."""
    return tuple(source.strip() for source in (*study.sources, *cited(_grids(study))))


def _grids(study: StudyRecord) -> list[GridSummary]:
    return [grid for name in study.grids for grid in summarise_grids(study, name)]


def _of_grid(study: StudyRecord, grid: GridSummary) -> Section:
    file = _file(grid.name)
    items: list[Item] = [Shown(f"{file}-accuracy", main_table(grid))]
    if (budgets := budget_table(grid)) is not None:
        items.append(Shown(f"{file}-equal-budgets", budgets))
    reference = next((c.reference for c in study.contrasts if c.grid == grid.grid), None)
    single = all(summary.arm.group == summary.arm.label for summary in grid.arms)
    figures: dict[str, Drawing | None] = {
        "budgets": budget_figure(grid),
        "arms": bar_figure(grid, reference) if reference is not None and single else None,
        "epsilon": curve_figure(grid),
        "strengths": perturbation_figure(grid),
    }
    items += [Shown(f"{file}-{what}", drawing) for what, drawing in figures.items() if drawing]
    if len(grid.arms) > MOST_CURVES:
        items.append("The curves show the best arm of each group.")
    conditions = {f"{file}-{kind}s": condition_table(grid, kind) for kind in ("attack", "perturbation")}
    items += [Shown(name, table, detail=True) for name, table in conditions.items() if table is not None]
    return Section(grid.name, (*items, Shown(f"{file}-cost", cost_table(grid), detail=True)))


def _of_stages(study: StudyRecord) -> list[Section]:
    sections = []
    for number, stage in enumerate((s for s in study.stages if not s.failed), 1):
        name = f"{stage.kind}-{number}"
        if stage.kind == "transfer":
            matrix = study.transfer(stage)
            shown = (Shown(name, transfer_drawing(matrix)), Shown(f"{name}-pairs", transfer_pairs(matrix), detail=True))
            sections.append(Section("Transfer", shown))
        else:
            distances = study.distance(stage)
            table = Shown(f"{name}-table", distance_table(distances), detail=True)
            sections.append(Section("Parameters", (Shown(name, distance_figure(distances)), table)))
    return sections


def _stage_sentences(study: StudyRecord) -> Sequence[str]:
    said: list[str] = []
    for stage in (stage for stage in study.stages if not stage.failed):
        if stage.kind == "transfer":
            said += [
                *transfer_sentences(study.transfer(stage)),
                "Of every arm transfer was tried on its first seed alone.",
            ]
        else:
            said += distance_sentences(study.distance(stage))
    return said


def _file(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())
