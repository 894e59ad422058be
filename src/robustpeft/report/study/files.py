"""Where does the report of a study lie? As ``report.md`` with its tables and figures in files beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from robustpeft.records import StudyRecord, write_text
from robustpeft.records.long_table import study_rows
from robustpeft.report.study.figures import MOST_CURVES, budget_figure, curve_figure
from robustpeft.report.study.findings import findings
from robustpeft.report.study.summary import GridSummary, summarise_grid
from robustpeft.report.study.tables import (
    TextTable,
    condition_table,
    main_table,
    rows_csv,
    table_latex,
    table_text,
    trial_table,
)
from robustpeft.report.wording import condition_name, data_text, effort_text

__all__ = ["write_study_report"]


def write_study_report(study: StudyRecord, directory: str | Path | None = None) -> Path:
    """Write everything that a study shows, and return the path of ``report.md``.

    ``report.md``; every table as ``.csv`` and ``.tex``; figures as ``.svg``; ``records.csv``, the long table;
    ``sources.bib``.

    Args:
        study: Its record.
        directory: Where to; ``report`` in the study's directory if None.
    """
    folder = Path(directory) if directory is not None else study.directory / "report"
    grids = [grid for name in study.grids if (grid := summarise_grid(study, name)) is not None]
    blocks = [f"# {study.name}{f', scale {study.scale}' if study.scale else ''}"]
    blocks += [study.question] if study.question else []
    blocks += [protocol(study, grids), "## Findings"]
    blocks += ["\n".join(f"- {sentence}" for sentence in findings(study, grids)) or "Nothing has been judged yet."]
    for grid in grids:
        blocks += [f"## {grid.name}", *_of_grid(grid, folder)]
    trials = trial_table(study)
    if trials is not None:
        blocks += ["## Selection", _table(trials, "trials", folder)]
    blocks = [block.replace("<", "&lt;") for block in blocks]  # names of arms may be anything, and hold HTML
    if study.sources:
        blocks += ["## Sources", "```bibtex\n" + "\n".join(study.sources) + "\n```"]
        write_text(folder / "sources.bib", "\n".join(study.sources) + "\n")
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
    return " ".join(" ".join(sentences).split())


def _of_grid(grid: GridSummary, folder: Path) -> list[str]:
    file = re.sub(r"[^a-z0-9]+", "-", grid.name.lower())
    blocks = [_table(main_table(grid), f"{file}-accuracy", folder)]
    for what, figure in (
        ("budgets", budget_figure(grid, f"{file}-budgets")),
        ("epsilon", curve_figure(grid, f"{file}-epsilon")),
    ):
        if figure is not None:
            write_text(folder / f"{file}-{what}.svg", figure)
            blocks.append(f"![{grid.name}: {what}]({file}-{what}.svg)")
    if len(grid.arms) > MOST_CURVES:
        blocks.append("The curves show the best arm of each group.")
    for kind in ("attack", "perturbation"):
        table = condition_table(grid, kind)
        if table is not None:
            blocks.append(_table(table, f"{file}-{kind}s", folder))
    return blocks


def _table(table: TextTable, name: str, folder: Path) -> str:
    rows = [dict(zip(table.heads, row, strict=True)) for row in table.rows]
    write_text(folder / f"{name}.csv", rows_csv(rows))
    write_text(folder / f"{name}.tex", table_latex(table, name))
    return f"{table.title}.\n\n{table_text(table)}"
