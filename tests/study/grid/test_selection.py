from dataclasses import replace

import pytest

from robustpeft.records import TrialRecord
from robustpeft.study.grid import CellResult, Failure, Store, Study, arms_of
from robustpeft.study.grid.selection import choose, edges, trial_records

RATES = (0.1, 0.2, 0.3)


@pytest.fixture
def arm():
    return arms_of(Study("s", "fulllora-digits", axes={"method": ("lora",)}, select={"training.learning_rate": RATES}))[
        0
    ]


def trials(*scores):
    return tuple(
        TrialRecord(str(rate), {"training.learning_rate": rate}, 100, clean, robust, failed=failed)
        for rate, (robust, clean, failed) in zip(RATES, scores, strict=True)
    )


@pytest.mark.parametrize(
    ("scores", "rate"),
    [
        (((5, 9, ""), (6, 1, ""), (4, 9, "")), 0.2),
        (((5, 8, ""), (5, 9, ""), (4, 9, "")), 0.2),
        (((5, 9, ""), (5, 9, ""), (5, 9, "")), 0.1),
        (((9, 9, "died"), (5, 9, ""), (6, 9, "")), 0.3),
    ],
)
def test_robust_comes_before_clean_and_ties_go_to_the_first(arm, scores, rate):
    assert choose(arm, trials(*scores)) == {"training.learning_rate": rate}


def test_one_that_collapsed_is_chosen_only_where_all_did(arm):
    """A constant answer is right under attack as often as without: 10 of 100, where a linear probe keeps none."""
    probes = trials((0, 90, ""), (10, 10, ""), (0, 85, ""))
    collapsed = replace(probes[1], collapsed=True)
    assert choose(arm, (probes[0], collapsed, probes[2])) == {"training.learning_rate": 0.1}
    assert choose(arm, tuple(replace(trial, collapsed=True) for trial in probes)) == {"training.learning_rate": 0.2}


def test_nothing_to_choose_and_nothing_that_will_do(arm):
    assert choose(arm, ()) == {"training.learning_rate": 0.1}
    assert choose(arm, trials(*[(1, 1, "died")] * 3)) is None


def test_the_edges_of_numbers_are_told(arm):
    assert [edges(arm, {"training.learning_rate": rate}) for rate in RATES] == [
        ("training.learning_rate",),
        (),
        ("training.learning_rate",),
    ]
    words = Study("s", "fulllora-digits", axes={"method": ("lora",)}, select={"training.optimizer": ("adamw", "sgd")})
    assert edges(arms_of(words)[0], {"training.optimizer": "sgd"}) == ()


def test_all_trials_are_on_record(arm, tmp_path):
    store, (done, failed, _) = Store(tmp_path), [cell.identity for _, cell in arm.trials()]
    store.finish(done, CellResult(10, 5, 1, 100, 90, 80, 1.5, diverged="nan"))
    store.fail(failed, Failure("because"))
    first, second, third = trial_records(arm, store)
    assert first == TrialRecord(done, {"training.learning_rate": 0.1}, 100, 90, 80, 1.5, "nan", diverged=True)
    assert (second.failed, third.failed) == ("because", "not done")


def test_a_trial_without_an_adversary_was_not_attacked(arm, tmp_path):
    natural = Study("s", "fulllora-digits", axes={"objective": ("natural",)}, select={"training.learning_rate": RATES})
    for study_arm, attacked in ((arm, True), (arms_of(natural)[0], False)):
        assert [trial.attacked for trial in trial_records(study_arm, Store(tmp_path))] == [attacked] * 3
