import dataclasses
import json

import pytest

from robustpeft.attacks import PGD
from robustpeft.auditing import AuditPlan
from robustpeft.study import arms as arms_module
from robustpeft.study.arms import Arm, Comparison, Trial, compare_arms, comparison_table, selection_list

PLAN = AuditPlan(epsilons=(0.1,), attacks=(PGD(steps=1),), perturbations=(), gallery=0, images=20)
QUICK = (
    "training.epochs=1",
    "training.batch_size=200",
    "training.validations=1",
    "training.selection_images=20",
    "training.selection_attack.steps=1",
)


def fake(job):
    """A trial whose robustness is highest at 0.02, and rises with the seed."""
    arm, rate, seed, plan, _ = job
    robust = 50 - round(1000 * abs(rate - 0.02)) + seed
    tests = (100, 90, robust) if plan else (0, 0, 0)
    return Trial(arm.label, rate, seed, 10, 100, 100, 95, robust, *tests, 1.0)


@pytest.fixture
def results(monkeypatch, tmp_path):
    monkeypatch.setattr(arms_module, "_run", fake)
    arms = (Arm("a", "x", (0.01, 0.02, 0.03)), Arm("b", "x", (0.02, 0.03, 0.04)))
    *trials, comparison = compare_arms(arms, PLAN, tmp_path)
    return trials, comparison, tmp_path


def test_every_arm_has_the_same_trials_and_only_winners_see_the_test_images(results):
    trials, comparison, _ = results
    assert len(trials) == 2 * 3 + 2 * 3
    assert [t.seed for t in trials if not t.test_n] == [0] * 6
    assert sorted(t.seed for t in trials if t.test_n) == [1, 1, 2, 2, 3, 3]
    assert comparison.chosen == {"a": 0.02, "b": 0.02}
    assert all(t.learning_rate == 0.02 for t in trials if t.test_n)


def test_a_winner_at_the_edge_of_its_grid_is_named(results):
    assert results[1].edges == ("b",)


def test_means_and_deviations_are_over_seeds(results):
    comparison = results[1]
    assert comparison.mean("a", "test_robust") == pytest.approx(0.52)
    assert comparison.deviation("a", "test_robust") == pytest.approx(0.01)


def test_all_trials_are_in_the_record(results):
    _, comparison, path = results
    stored = json.loads((path / "comparison.json").read_text())
    assert (
        Comparison(tuple(Trial(**t) for t in stored["trials"]), stored["chosen"], tuple(stored["edges"])) == comparison
    )


def test_the_table_shows_each_seed_and_the_ratio(results):
    table = comparison_table(results[1], reference="b")
    assert "51/100, 52/100, 53/100" in table
    assert "(edge of its grid)" in table
    assert "| 1.00 |" in table
    assert "- a, learning rate 0.01: 95 clean, 40 under attack, of 100" in selection_list(results[1])


def test_unequal_numbers_of_trials_are_refused(tmp_path):
    with pytest.raises(ValueError, match="same number of learning rates"):
        list(compare_arms((Arm("a", "x", (0.1,)), Arm("b", "x", (0.1, 0.2))), PLAN, tmp_path))


def test_a_real_trial_is_run_once_and_read_afterwards(tmp_path):
    arm = Arm("LoRA", "lora-digits", (1e-3,), QUICK)
    first = list(compare_arms((arm,), PLAN, tmp_path, seeds=(1, 2)))
    trial = first[1]
    assert (trial.test_n, trial.num_parameters) == (20, 205002)
    assert 0 <= trial.test_robust <= trial.test_clean <= 20
    again = list(compare_arms((arm,), PLAN, tmp_path, seeds=(1, 2)))
    assert [dataclasses.asdict(t) for t in again] == [dataclasses.asdict(t) for t in first]
