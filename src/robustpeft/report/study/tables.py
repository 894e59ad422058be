"""Which numbers of a study stand side by side? The same table for Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robustpeft.records import StudyRecord
from robustpeft.report.study.summary import ArmSummary, GridSummary, Spread
from robustpeft.report.wording import condition_name, number_text

__all__ = [
    "TextTable",
    "condition_table",
    "main_table",
    "rows_csv",
    "table_latex",
    "table_text",
    "trial_table",
]

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
        heads.append(f"95 % over images, {number_text(grid.headline.epsilon)}")
    rows = []
    for summary in grid.arms:
        cells = [
            summary.arm.label,
            f"{summary.num_trained:,} ({100 * summary.num_trained / summary.num_parameters:.3g} %)",
            _chosen(summary),
            spread_text(summary.measured["clean"]),
            *(spread_text(summary.robust[threat]) for threat in grid.threats),
        ]
        if grid.headline is not None:
            low, high = summary.robust[grid.headline].interval()
            cells.append(f"{100 * low:.1f} to {100 * high:.1f}")
        rows.append(tuple(cells))
    seeds = sorted({len(summary.arm.whole) for summary in grid.arms})
    over = " or ".join(str(count) for count in seeds)
    title = f"Accuracy in percent: mean +- standard deviation over {over} seeds, {len(grid.example.rows)} test images"
    return TextTable(title, tuple(heads), tuple(rows))


def condition_table(grid: GridSummary, kind: str) -> TextTable | None:
    """Return one row per arm and one column per attack or perturbation of the audit; None if there is none."""
    found = [m for m in grid.example.measurements if m.kind == kind]
    common = [m for m in found if all(m.key in summary.measured for summary in grid.arms)]
    if not common:
        return None
    heads = ["arm", *(f"{condition_name(m.name)} {number_text(m.strength or 0.0)}" for m in common)]
    if len(set(heads)) < len(heads):  # two attacks of one name
        heads = ["arm", *(m.key for m in common)]
    rows = tuple((s.arm.label, *(spread_text(s.measured[m.key]) for m in common)) for s in grid.arms)
    return TextTable(f"Accuracy in percent under every {kind}", tuple(heads), rows)


def trial_table(study: StudyRecord) -> TextTable | None:
    """Return all trials of selection, those that failed too; None if nothing was chosen."""
    rows = []
    for arm in study.arms:
        for trial in arm.trials:
            counts = (
                f"{trial.validation_clean}/{trial.validation_n}",
                f"{trial.validation_robust}/{trial.validation_n}",
            )
            mark = "chosen" if arm.chosen is not None and dict(trial.settings) == dict(arm.chosen) else ""
            if mark and arm.edges:
                mark = "chosen, at the edge"
            rows.append((arm.grid, arm.label, _settings(trial.settings), *counts, trial.failed or mark))
    heads = ("grid", "arm", "tried", "validation clean", "validation robust", "")
    return TextTable("All trials of selection", heads, tuple(rows)) if rows else None


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


def rows_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV; a column is there if any row has it."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def spread_text(spread: Spread) -> str:
    """Return for example ``67.5 +- 1.7``; the mean alone for one seed."""
    deviation = "" if math.isnan(spread.deviation) else f" +- {100 * spread.deviation:.1f}"
    return f"{100 * spread.mean:.1f}{deviation}"


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
