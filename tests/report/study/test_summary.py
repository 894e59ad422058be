import math
from dataclasses import replace

import pytest

from robustpeft.records import ContrastRecord, Rate, write_record
from robustpeft.report.study.comparison import pairings
from robustpeft.report.study.summary import Spread, collapse, summarise_grids
from robustpeft.report.study.tables import task_table
from robustpeft.report.worst_case import MainThreat


def test_a_spread_is_over_seeds_and_its_interval_over_images():
    spread = Spread((0.5, 0.7), 50)
    assert spread.mean == pytest.approx(0.6)
    assert spread.deviation == pytest.approx(math.sqrt(0.02))
    assert spread.interval() == Rate(30, 50).interval()
    assert math.isnan(Spread((0.5,), 50).deviation)


def test_accuracies_are_those_of_the_runs(study):
    grid = summarise_grids(study, "main")[0]
    assert grid.threats == (MainThreat("linf", 0.05), MainThreat("linf", 0.1))
    assert grid.headline == MainThreat("linf", 0.1)
    full = grid.arms[-1]
    assert full.robust[grid.headline].shares == (30 / 40, 32 / 40)
    assert full.measured["clean"].shares == (39 / 40, 38 / 40)
    assert full.measured["pgd@linf:0.1"].n == 40
    assert full.kept == frozenset(range(10, 40))  # with two seeds, more than half is both
    assert full.clean_kept == frozenset(range(2, 40))
    assert (full.num_trained, full.num_parameters) == (10_000, 10_000)


def test_a_run_without_a_result_does_not_count(study):
    first, *rest = study.arms
    lame = replace(first, runs=(first.runs[0], replace(first.runs[1], failed="died")))
    grid = summarise_grids(replace(study, arms=(lame, *rest)), "main")[0]
    assert grid.arms[0].robust[grid.headline].shares == (10 / 40,)


def test_the_headline_may_be_another_epsilon(study):
    assert summarise_grids(replace(study, headline=0.05), "main")[0].headline == MainThreat("linf", 0.05)


def test_nothing_judged_is_nothing(study):
    assert summarise_grids(replace(study, arms=()), "main") == ()


def test_a_run_that_answers_one_class_or_by_chance_has_collapsed(study, make_record):
    audit = study.audit(study.arms[0].runs[0])
    assert collapse(audit) == ""
    constant = tuple(replace(row, predictions=row.predictions | {"clean": 0}) for row in audit.rows)
    assert collapse(replace(audit, rows=constant)) == "it answers one class alone"
    assert "is not above the" in collapse(make_record(clean=set(range(35))))
    assert collapse(replace(audit, rows=())) == ""


def test_arms_of_several_data_sets_are_summarised_apart(study, make_record):
    """The first two arms on one data set, the others on another; labels then need not say which."""
    arms = []
    for arm, data in zip(study.arms, ("one", "one", "two", "two"), strict=True):
        label = {"LoRA 4": "LoRA 1", "full": "LoRA 2"}.get(arm.label, arm.label)
        for run in arm.runs:
            place = study.place(run.identity)
            audit = study.audit(run)
            info = replace(audit.data, name=data, digest=data * 20)
            write_record(replace(audit, data=info), place)
        coordinates = {"data": data, "method": label}
        arms.append(replace(arm, label=f"{data}, {label}", group=f"{data}, {label}", coordinates=coordinates))
    both = replace(study, arms=tuple(arms), contrasts=(ContrastRecord("LoRA 1", (), "main"),))
    grids = summarise_grids(both, "main")
    assert [(g.name, [s.arm.label for s in g.arms]) for g in grids] == [
        ("main, one", ["LoRA 1", "LoRA 2"]),
        ("main, two", ["LoRA 1", "LoRA 2"]),
    ]
    assert [s.arm.group for s in grids[0].arms] == ["LoRA 1", "LoRA 2"]
    assert [(pair.one.arm.label, pair.reference.arm.label) for pair in pairings(both, grids)] == [
        ("LoRA 2", "LoRA 1")
    ] * 2
    table = task_table(grids)
    assert table.heads == ("arm", "one", "two", "mean")
    assert table.rows[0][:3] == ("LoRA 1", "96.2 / 22.5", "96.2 / 70.0")
    assert table.rows[0][3] == "96.2 / 46.2"
    assert task_table(grids[:1]) is None


def test_runs_that_were_judged_on_other_images_stand_apart_under_names_that_differ(study):
    """The data changed on the disk between the seeds of one arm: digits of another digest, the same name."""
    first, *_ = study.arms
    place = study.place(first.runs[1].identity)
    audit = study.audit(first.runs[1])
    write_record(replace(audit, data=replace(audit.data, digest="e" * 64)), place)
    grids = summarise_grids(study, "main")
    assert [(g.name, [len(s.held) for s in g.arms]) for g in grids] == [
        ("main, digits dddddddd", [1, 2, 2, 2]),
        ("main, digits eeeeeeee", [1]),
    ]
    pair = pairings(study, grids)[0]
    assert (pair.one.arm.label, pair.seeds) == ("LoRA 1", (1,))
