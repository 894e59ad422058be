"""Where does the report of a study lie? As ``report.md`` with its tables and figures in files beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from robustpeft.records import StudyRecord, write_text
from robustpeft.records.long_table import study_rows
from robustpeft.report.drawing import Drawing, rows_csv, write_drawing
from robustpeft.report.study.citations import cited
from robustpeft.report.study.condition_figures import perturbation_figure
from robustpeft.report.study.figures import MOST_CURVES, bar_figure, budget_figure, curve_figure
from robustpeft.report.study.findings import findings
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
    table_latex,
    table_text,
    task_table,
    trial_table,
)
from robustpeft.report.transfer_tables import transfer_sentences
from robustpeft.report.wording import condition_name, data_text, effort_text

__all__ = ["write_study_report"]


def write_study_report(study: StudyRecord, directory: str | Path | None = None) -> Path:
    """Write everything that a study shows, and return the path of ``report.md``.

    ``report.md``; every table as ``.csv`` and ``.tex``; every figure as ``.svg`` and ``.pdf`` with its numbers as
    ``.csv``; ``records.csv``, the long table; ``sources.bib``.

    Args:
        study: Its record.
        directory: Where to; ``report`` in the study's directory if None.
    """
    folder = Path(directory) if directory is not None else study.directory / "report"
    grids = [grid for name in study.grids for grid in summarise_grids(study, name)]
    blocks = [f"# {study.name}{f', scale {study.scale}' if study.scale else ''}"]
    blocks += [study.question] if study.question else []
    blocks += ["## Protocol", protocol(study, grids), "## Findings"]
    said = (*findings(study, grids), *_stage_sentences(study))
    blocks += ["\n".join(f"- {sentence}" for sentence in said) or "Nothing has been judged yet."]
    for name in study.grids:
        tasks = task_table(found := [grid for grid in grids if grid.grid == name])
        blocks += [f"## {name}, all data sets", _table(tasks, f"{_file(name)}-tasks", folder)] if tasks else []
        for grid in found:
            blocks += [f"## {grid.name}", *_of_grid(study, grid, folder)]
    blocks += _of_stages(study, folder)
    trials = trial_table(study)
    if trials is not None:
        blocks += ["## Selection", _table(trials, "trials", folder)]
    if sources := (*study.sources, *cited(grids)):
        text = "\n".join(source.strip() for source in sources)
        blocks += ["## Sources", f"```bibtex\n{text}\n```"]
        write_text(folder / "sources.bib", f"{text}\n")
    write_text(folder / "records.csv", rows_csv(study_rows(study)))
    write_text(folder / "report.md", "\n\n".join(blocks) + "\n")
    return folder / "report.md"


def protocol(study: StudyRecord, grids: Sequence[GridSummary]) -> str:
    """Return one paragraph: what was chosen how, and who judged."""
    counts = sorted({len(arm.trials) for arm in study.arms})
    chosen = [key for arm in study.arms for key in (arm.trials[0].settings if arm.trials else ())]
    sentences = []
    if chosen:
        keys = ", ".join(dict.fromkeys(chosen))
        trials = " or ".join(map(str, counts))
        sentences.append(
            f"For every arm {keys} was chosen on validation images from {trials} trials, the same number for all arms "
            "of a grid; ties go to the value that was named first."
        )
    seeds = sorted({run.seed for arm in study.arms for run in arm.runs})
    sentences.append(
        f"What was chosen was run anew with seeds {', '.join(map(str, seeds))}; only these runs were judged."
    )
    for grid in grids:
        record = grid.example
        attacks = dict.fromkeys(
            f"{condition_name(m.name)} ({effort_text(m) or 'one step'})" for m in record.of("attack")
        )
        sentences.append(
            f"Grid {grid.name}: {record.subject.backbone} on {data_text(record.data)}. {record.data.note} Attacks: "
            f"{', '.join(attacks) or 'none'}; an image counts as robust within a radius if it is right without an "
            "attack and under every attack up to this radius."
        )
    if budgets := sorted({arm.budget for arm in study.arms if arm.budget is not None}):
        listed = ", ".join(f"{budget:,}" for budget in budgets)
        sentences.append(
            f"At the equal budgets {listed} every technique has the largest size whose trained parameters, without the "
            "head, are within the budget."
        )
    if study.contrasts:
        sentences.append(
            "Planned comparisons are McNemar's exact tests on the same test images, where an image counts for an arm "
            "if more than half of its seeds keep it right, with Holm's correction over all of them; intervals are "
            "Wilson's over images and Student's over seeds, 95 %. Nothing is claimed on an arm of which a run "
            "collapsed."
        )
    return " ".join(" ".join(sentences).split())


def _of_grid(study: StudyRecord, grid: GridSummary, folder: Path) -> list[str]:
    file = _file(grid.name)
    blocks = [_table(main_table(grid), f"{file}-accuracy", folder)]
    budgets = budget_table(grid)
    blocks += [_table(budgets, f"{file}-equal-budgets", folder)] if budgets is not None else []
    reference = next((c.reference for c in study.contrasts if c.grid == grid.grid), None)
    single = all(summary.arm.group == summary.arm.label for summary in grid.arms)
    figures: dict[str, Drawing | None] = {
        "budgets": budget_figure(grid),
        "arms": bar_figure(grid, reference) if reference is not None and single else None,
        "epsilon": curve_figure(grid),
        "strengths": perturbation_figure(grid),
    }
    blocks += [write_drawing(drawing, folder, f"{file}-{what}") for what, drawing in figures.items() if drawing]
    if len(grid.arms) > MOST_CURVES:
        blocks.append("The curves show the best arm of each group.")
    for kind in ("attack", "perturbation"):
        table = condition_table(grid, kind)
        if table is not None:
            blocks.append(_table(table, f"{file}-{kind}s", folder))
    return [*blocks, _table(cost_table(grid), f"{file}-cost", folder)]


def _of_stages(study: StudyRecord, folder: Path) -> list[str]:
    blocks: list[str] = []
    for number, stage in enumerate((s for s in study.stages if not s.failed), 1):
        name = f"{stage.kind}-{number}"
        if stage.kind == "transfer":
            matrix = study.transfer(stage)
            blocks += ["## Transfer", write_drawing(transfer_drawing(matrix), folder, name)]
            blocks.append(_table(transfer_pairs(matrix), f"{name}-pairs", folder))
        else:
            distances = study.distance(stage)
            blocks += ["## Parameters", write_drawing(distance_figure(distances), folder, name)]
            blocks.append(_table(distance_table(distances), f"{name}-table", folder))
    return blocks


def _stage_sentences(study: StudyRecord) -> list[str]:
    said: list[str] = []
    for stage in (stage for stage in study.stages if not stage.failed):
        if stage.kind == "transfer":
            said += transfer_sentences(study.transfer(stage))
        else:
            said += distance_sentences(study.distance(stage))
    return said


def _file(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def _table(table: TextTable, name: str, folder: Path) -> str:
    rows = [dict(zip(table.heads, row, strict=True)) for row in table.rows]
    write_text(folder / f"{name}.csv", rows_csv(rows))
    write_text(folder / f"{name}.tex", table_latex(table, name))
    return f"{table.title}.\n\n{table_text(table)}"
