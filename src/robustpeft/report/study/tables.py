"""Which numbers of a study stand side by side? The same table for Markdown, CSV and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robustpeft.records import RunRecord, StudyRecord, TrialRecord
from robustpeft.report.study.summary import ArmSummary, GridSummary, Spread
from robustpeft.report.wording import byte_text, condition_name, number_text

__all__ = [
    "COLLAPSED",
    "TextTable",
    "budget_table",
    "condition_table",
    "cost_table",
    "main_table",
    "marked",
    "table_latex",
    "table_text",
    "task_table",
    "trial_table",
]

COLLAPSED = "[!]"  # stands behind the label of an arm on which nothing is claimed

_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {"\\": r"\textbackslash{}", "<": r"\textless{}", ">": r"\textgreater{}"}


@dataclass(frozen=True)
class TextTable:
    """Rows of text under heads.

    Args:
        title: What it shows.
        heads: One per column.
        rows: Each as long as the heads.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def main_table(grid: GridSummary) -> TextTable:
    """Return one row per arm: what was trained and chosen, clean accuracy, and under all attacks at each epsilon."""
    heads = ["arm", "trained parameters", "chosen", "clean"]
    heads += [f"robust, {t.norm} {number_text(t.epsilon)}" for t in grid.threats]
    if grid.headline is not None:
        at = number_text(grid.headline.epsilon)
        heads += [f"95 % over images, {at}", f"95 % over seeds, {at}"]
    rows = []
    for summary in grid.arms:
        cells = [
            marked(summary),
            f"{summary.num_trained:,} ({100 * summary.num_trained / summary.num_parameters:.3g} %)",
            _chosen(summary),
            spread_text(summary.measured["clean"]),
            *(spread_text(summary.robust[threat]) for threat in grid.threats),
        ]
        if grid.headline is not None:
            spread = summary.robust[grid.headline]
            differ = len(set(spread.shares)) > 1  # of seeds that are all alike no interval can be had
            cells += [_interval(spread.interval()), _interval(spread.over_seeds()) if differ else "-"]
        rows.append(tuple(cells))
    seeds = sorted({len(summary.arm.whole) for summary in grid.arms})
    over = " or ".join(str(count) for count in seeds)
    title = f"Accuracy in percent: mean +- standard deviation over {over} seeds, {len(grid.example.rows)} test images"
    if len(grid.sound) < len(grid.arms):
        title += f"; {COLLAPSED} collapsed, see the findings"
    return TextTable(title, tuple(heads), tuple(rows))


def condition_table(grid: GridSummary, kind: str) -> TextTable | None:
    """Return one row per arm and one column per attack or perturbation of the audit; None if there is none."""
    found = [m for m in grid.example.measurements if m.kind == kind]
    common = [m for m in found if all(m.key in summary.measured for summary in grid.arms)]
    if not common:
        return None
    names = [f"{condition_name(m.name)} {number_text(m.strength or 0.0)}" for m in common]
    if len(set(names)) < len(names):  # two attacks of one name
        names = [m.key for m in common]
    parts = ["" if m.correct.n == grid.example.data.n else f" ({m.correct.n:,} images)" for m in common]
    heads = ["arm", *(name + part for name, part in zip(names, parts, strict=True))]
    rows = tuple((marked(s), *(spread_text(s.measured[m.key]) for m in common)) for s in grid.arms)
    return TextTable(f"Accuracy in percent under every {kind}", tuple(heads), rows)


def budget_table(grid: GridSummary) -> TextTable | None:
    """Return robust accuracy at the headline threat, one row per group and one column per equal budget; None without.

    Every cell says how many parameters the technique has within the budget, head included.
    """
    budgets = sorted({s.arm.budget for s in grid.arms if s.arm.budget is not None})
    if grid.headline is None or not budgets:
        return None
    found = {(s.arm.group, s.arm.budget): s for s in grid.arms if s.arm.budget is not None}
    groups = dict.fromkeys(group for group, _ in found)
    rows = []
    for group in groups:
        cells = [_of_budget(found.get((group, budget)), grid) for budget in budgets]
        rows.append((group, *cells))
    heads = ("technique", *(f"budget {budget:,}" for budget in budgets))
    where = f"{grid.headline.norm} {number_text(grid.headline.epsilon)}"
    title = f"Robust accuracy in percent at equal budgets, {where} (in brackets: trained parameters, head included)"
    return TextTable(title, heads, tuple(rows))


def task_table(grids: Sequence[GridSummary]) -> TextTable | None:
    """Return clean / robust accuracy of every arm on every data set, and their means over all; None for one data set.

    An arm that one data set lacks has no mean.
    """
    if len(grids) < 2:
        return None
    heads = ("arm", *(grid.example.data.name for grid in grids), "mean")
    rows = []
    for label in dict.fromkeys(s.arm.label for grid in grids for s in grid.arms):
        found = [next((s for s in grid.arms if s.arm.label == label), None) for grid in grids]
        pairs = [None if s is None else _clean_robust(s, grid) for s, grid in zip(found, grids, strict=True)]
        whole = [pair for pair in pairs if pair is not None]
        means = [sum(values) / len(values) for values in zip(*whole, strict=True)] if len(whole) == len(grids) else []
        cells = ["-" if pair is None else " / ".join(f"{100 * share:.1f}" for share in pair) for pair in pairs]
        rows.append((label, *cells, " / ".join(f"{100 * share:.1f}" for share in means) or "-"))
    return TextTable("Accuracy in percent, clean / robust at the headline threat, mean over seeds", heads, tuple(rows))


def cost_table(grid: GridSummary) -> TextTable:
    """Return what every arm costs: trained parameters, bytes on disk, seconds of tuning, memory."""
    rows = []
    for summary in grid.arms:
        runs = summary.arm.whole
        seconds = Spread(tuple(run.seconds / 100 for run in runs), 1)
        head = f"{runs[0].num_trained_head:,}"
        rows.append(
            (
                summary.arm.label,
                f"{summary.num_trained:,}",
                head,
                byte_text(runs[0].adapter_bytes),
                spread_text(seconds),
                _memory_text(runs),
            )
        )
    heads = (
        *("arm", "trained parameters", "of them in the head", "adapter on disk", "seconds of tuning"),
        "memory at the most",
    )
    return TextTable("What every arm costs", heads, tuple(rows))


def _memory_text(runs: Sequence[RunRecord]) -> str:
    """Return the largest peak of all seeds, and whose memory it is."""
    run = max(runs, key=lambda run: run.peak_bytes)
    if not run.peak_bytes:
        return "not measured"
    return f"{byte_text(run.peak_bytes)} {'of the GPU' if run.peak_of == 'cuda' else 'of the process'}"


def marked(summary: ArmSummary) -> str:
    """Return the arm's label, with a mark if it collapsed."""
    return f"{summary.arm.label} {COLLAPSED}" if summary.collapsed else summary.arm.label


def trial_table(study: StudyRecord) -> TextTable | None:
    """Return all trials of selection, those that failed too; None if nothing was chosen."""
    rows = []
    for arm in study.arms:
        for trial in arm.trials:
            counts = (
                f"{trial.validation_clean}/{trial.validation_n}",
                f"{trial.validation_robust}/{trial.validation_n}" if trial.attacked else "not attacked",
            )
            mark = "chosen" if arm.chosen is not None and dict(trial.settings) == dict(arm.chosen) else ""
            if mark and arm.edges:
                mark = "chosen, at the edge"
            rows.append(
                (arm.grid, arm.label, _settings(trial.settings), *counts, trial.failed or _outcome(trial, mark))
            )
    heads = ("grid", "arm", "tried", "validation clean", "validation robust", "")
    return TextTable("All trials of selection", heads, tuple(rows)) if rows else None


def _outcome(trial: TrialRecord, mark: str) -> str:
    return ", ".join(word for word in (mark, "collapsed" if trial.collapsed else "") if word)


def table_text(table: TextTable) -> str:
    """Return the table in Markdown."""
    lines = [table.heads, ("---", *("---:" for _ in table.heads[1:])), *table.rows]
    return "\n".join(
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def table_latex(table: TextTable, label: str) -> str:
    """Return the table in LaTeX, with the rules of booktabs."""
    lines = [" & ".join(map(_latex, row)) + r" \\" for row in (table.heads, *table.rows)]
    return "\n".join(
        (
            r"\begin{table}",
            r"  \centering",
            f"  \\caption{{{_latex(table.title)}.}}",
            f"  \\label{{tab:{label}}}",
            f"  \\begin{{tabular}}{{l{'r' * (len(table.heads) - 1)}}}",
            r"    \toprule",
            f"    {lines[0]}",
            r"    \midrule",
            *(f"    {line}" for line in lines[1:]),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        )
    )


def spread_text(spread: Spread) -> str:
    """Return for example ``67.5 +- 1.7``; the mean alone for one seed."""
    deviation = "" if math.isnan(spread.deviation) else f" +- {100 * spread.deviation:.1f}"
    return f"{100 * spread.mean:.1f}{deviation}"


def _of_budget(summary: ArmSummary | None, grid: GridSummary) -> str:
    if summary is None or grid.headline is None:
        return "-"
    mark = f" {COLLAPSED}" if summary.collapsed else ""
    return f"{spread_text(summary.robust[grid.headline])} ({summary.num_trained:,}){mark}"


def _clean_robust(summary: ArmSummary, grid: GridSummary) -> tuple[float, ...]:
    clean = summary.measured["clean"].mean
    return (clean,) if grid.headline is None else (clean, summary.robust[grid.headline].mean)


def _interval(bounds: tuple[float, float]) -> str:
    return f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}"


def _chosen(summary: ArmSummary) -> str:
    text = _settings(summary.arm.chosen or {})
    return f"{text} (edge)" if summary.arm.edges else text or "-"


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key.rpartition('.')[2]} {value:g}" if isinstance(value, float) else f"{key.rpartition('.')[2]} {value}"
        for key, value in settings.items()
    )


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text).replace("+-", r"$\pm$")
