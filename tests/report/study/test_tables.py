import csv
import dataclasses
import io
from dataclasses import replace

import pytest

from robustpeft.report.drawing import rows_csv
from robustpeft.report.study.summary import Spread, summarise_grids
from robustpeft.report.study.tables import (
    TextTable,
    budget_table,
    condition_table,
    cost_table,
    main_table,
    spread_text,
    table_latex,
    table_text,
    trial_table,
)


@pytest.fixture
def grid(study):
    return summarise_grids(study, "main")[0]


def test_the_main_table_shows_what_was_trained_chosen_and_kept(grid):
    table = main_table(grid)
    assert table.heads[:4] == ("arm", "trained parameters", "chosen", "clean")
    assert table.heads[4:] == ("robust, linf 0.05", "robust, linf 0.1", "95 % over images, 0.1", "95 % over seeds, 0.1")
    assert table.rows[0][:4] == ("LoRA 1", "100 (1 %)", "learning_rate 0.1", "96.2 +- 1.8")
    assert table.rows[3][2] == "learning_rate 0.1 (edge)"
    assert table.rows[3][5:] == ("77.5 +- 3.5", "62.5 to 87.7", "45.7 to 100.0")
    assert "over 2 seeds, 40 test images" in table.title


def test_conditions_have_a_table_each(grid):
    assert condition_table(grid, "attack").heads == ("arm", "FGSM 0.05", "FGSM 0.1", "PGD 0.05", "PGD 0.1")
    assert condition_table(grid, "attack").rows[3][4] == "77.5 +- 3.5"
    assert condition_table(grid, "perturbation").rows[0][1] == "92.5 +- 0.0"
    assert condition_table(grid, "nothing") is None


def test_all_trials_are_shown(study):
    table = trial_table(study)
    assert len(table.rows) == 12
    assert table.rows[0] == ("main", "LoRA 1", "learning_rate 0.1", "40/50", "30/50", "chosen")
    assert (table.rows[1][5], table.rows[2][5], table.rows[9][5]) == ("", "not finite", "chosen, at the edge")


def test_a_trial_that_collapsed_is_marked(study):
    first = study.arms[0]
    trials = tuple(replace(trial, collapsed=True) for trial in first.trials)
    table = trial_table(replace(study, arms=(replace(first, trials=trials),)))
    assert [row[5] for row in table.rows] == ["chosen, collapsed", "collapsed", "not finite"]


def test_an_attack_that_was_not_made_has_no_count(study):
    first = study.arms[0]
    calm = replace(first, trials=tuple(replace(trial, attacked=False) for trial in first.trials))
    assert trial_table(replace(study, arms=(calm,))).rows[0][3:5] == ("40/50", "not attacked")


def test_one_seed_has_no_deviation():
    assert spread_text(Spread((0.5,), 10)) == "50.0"


def test_markdown_csv_and_latex_say_the_same():
    table = TextTable("A & b", ("arm", "x_1"), (("a|b", "5.0 +- 1.0"), ("100 %", "<1")))
    assert table_text(table).splitlines() == [
        "| arm | x_1 |",
        "| --- | ---: |",
        "| a\\|b | 5.0 +- 1.0 |",
        "| 100 % | <1 |",
    ]
    latex = table_latex(table, "main")
    assert [line.strip() for line in latex.splitlines()] == [
        r"\begin{table}",
        r"\centering",
        r"\caption{A \& b.}",
        r"\label{tab:main}",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"arm & x\_1 \\",
        r"\midrule",
        r"a|b & 5.0 $\pm$ 1.0 \\",
        r"100 \% & \textless{}1 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    rows = [{"a": 1}, {"a": 2, "b": "x,y"}]
    assert list(csv.DictReader(io.StringIO(rows_csv(rows)))) == [{"a": "1", "b": ""}, {"a": "2", "b": "x,y"}]


def test_equal_budgets_stand_side_by_side(grid):
    assert budget_table(grid) is None
    arms = [replace(s, arm=replace(s.arm, budget=b)) for s, b in zip(grid.arms, (100, 200, None, 200), strict=True)]
    table = budget_table(replace(grid, arms=tuple(arms)))
    assert table.heads == ("technique", "budget 100", "budget 200")
    assert table.rows == (
        ("LoRA", "22.5 +- 3.5 (100)", "45.0 +- 7.1 (200)"),
        ("full", "-", "77.5 +- 3.5 (10,000)"),
    )


def test_costs_are_parameters_bytes_seconds_and_memory(grid):
    assert cost_table(grid).rows[0] == ("LoRA 1", "100", "10", "400 B", "1.0 +- 0.0", "not measured")


@pytest.mark.parametrize(
    ("where", "said"), [("process", "900 MB of the process"), ("cuda", "900 MB of the GPU"), ("", "not measured")]
)
def test_memory_is_the_largest_of_all_seeds(grid, where, said):
    summary = grid.arms[0]
    peaks = (900_000_000, 700_000_000) if where else (0, 0)
    runs = tuple(
        dataclasses.replace(run, peak_bytes=peak, peak_of=where)
        for run, peak in zip(summary.arm.runs, peaks, strict=False)
    )
    measured = dataclasses.replace(summary, arm=dataclasses.replace(summary.arm, runs=runs))
    assert cost_table(dataclasses.replace(grid, arms=(measured,))).rows[0][-1] == said


def test_seeds_that_are_all_alike_have_no_interval(grid):
    threat = grid.headline
    alike = replace(
        grid.arms[0], robust=grid.arms[0].robust | {threat: replace(grid.arms[0].robust[threat], shares=(0.0, 0.0))}
    )
    rows = main_table(replace(grid, arms=(alike, *grid.arms[1:]))).rows
    assert rows[0][-1] == "-"
    assert rows[1][-1] != "-"
