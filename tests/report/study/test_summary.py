import math
from dataclasses import replace

import pytest

from robustpeft.records import Rate
from robustpeft.report.study.summary import Spread, summarise_grids
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
