import dataclasses
import json
import logging

import pytest

from robustpeft.errors import UserError
from robustpeft.study.learning_rates import RateTrial, at_edge, best_trial, search_rates, shortened
from robustpeft.training import Fit, NotFiniteError, Phase, Scores, TrainingPlan

PLAN = TrainingPlan(epochs=8)


def trial(rate, robust, clean=90):
    return RateTrial(rate, 100, clean, robust, 2, 10, 1.0)


class Runs:
    """Robust accuracy is highest at 0.02; at 0.5 tuning diverges. Keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, plan, directory):
        self.asked.append(plan.learning_rate)
        (directory / "checkpoints").mkdir(parents=True)
        (directory / "metrics.jsonl").touch()
        if plan.learning_rate == 0.5:
            raise NotFiniteError("the loss is not finite at step 3")
        return Fit(2, Scores(100, 90, 50 - round(1000 * abs(plan.learning_rate - 0.02)), 20), 10, 1.25)


def search(runs, directory, rates=(0.01, 0.02, 0.03), **options):
    return search_rates(runs, PLAN, directory, identity=options.pop("identity", "x"), rates=rates, **options)


def test_most_right_under_attack_wins_then_clean_then_the_lower_rate():
    assert best_trial([trial(0.1, 5), trial(0.2, 6), trial(0.3, 4)]).learning_rate == 0.2
    assert best_trial([trial(0.1, 5, 80), trial(0.2, 5, 90)]).learning_rate == 0.2
    assert best_trial([trial(0.2, 5), trial(0.1, 5)]).learning_rate == 0.1


def test_edges_are_the_ends_of_a_grid_of_two_or_more():
    assert [at_edge(r, (1, 2, 3)) for r in (1, 2, 3)] == [True, False, True]
    assert not at_edge(1, (1,))


def test_a_trial_has_its_share_of_every_phase():
    plan = dataclasses.replace(PLAN, before=(Phase(4), Phase(1)), patience=3, validations=8)
    short = shortened(plan, 0.3, 0.25)
    assert (short.learning_rate, short.epochs, short.validations, short.patience) == (0.3, 2, 2, None)
    assert [phase.epochs for phase in short.before] == [1, 1]


def test_all_trials_are_kept_on_record_in_order(tmp_path):
    found = search(Runs(), tmp_path, rates=(0.03, 0.01, 0.02))
    assert (found.chosen, found.edge) == (0.02, False)
    said = json.loads((tmp_path / "learning_rates.json").read_text())
    assert (said["chosen"], said["edge"]) == (0.02, False)
    assert tuple(RateTrial(**entry) for entry in said["trials"]) == found.trials
    assert [(t.learning_rate, t.validation_robust, t.validation_n, t.steps) for t in found.trials] == [
        (0.01, 40, 100, 10),
        (0.02, 50, 100, 10),
        (0.03, 40, 100, 10),
    ]
    assert found.summary == "the best of 3 trials (0.01, 0.02, 0.03) on 25% of the epochs"
    assert not (tmp_path / "learning_rates" / "0.01" / "checkpoints").exists()
    assert (tmp_path / "learning_rates" / "0.01" / "metrics.jsonl").exists()


def test_a_winner_at_the_edge_is_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        found = search(Runs(), tmp_path, rates=(0.02, 0.03))
    assert found.edge
    assert "learning rate 0.02 is the best of those tried, but at their edge" in caplog.text
    assert found.summary.endswith("; at the edge of what was tried")


def test_a_rate_that_diverges_loses_and_stays_on_record(tmp_path):
    found = search(Runs(), tmp_path, rates=(0.01, 0.5))
    assert found.chosen == 0.01
    assert found.trials[1].failed.startswith("the loss is not finite")
    assert (found.trials[1].validation_robust, found.trials[1].steps) == (-1, 0)
    with pytest.raises(UserError, match=r"no learning rate of 0\.5 will do: the loss is not finite"):
        search(Runs(), tmp_path / "all", rates=(0.5,))


def test_only_what_is_missing_is_tried_again(tmp_path):
    first, again, other = Runs(), Runs(), Runs()
    found = search(first, tmp_path, rates=(0.01, 0.02))
    assert search(again, tmp_path, rates=(0.01, 0.02)) == found
    assert again.asked == []
    search(again, tmp_path, rates=(0.01, 0.02, 0.03))
    assert again.asked == [0.03]
    for name in ("0.01", "0.02"):
        (tmp_path / "learning_rates" / name).rename(tmp_path / f"old{name}")
    search(other, tmp_path, rates=(0.01, 0.02), identity="y")
    assert other.asked == [0.01, 0.02]


@pytest.mark.parametrize(("rates", "share"), [((), 0.5), ((0.1,), 0.0), ((0.1,), 1.5)])
def test_a_search_of_nothing_is_refused(tmp_path, rates, share):
    with pytest.raises(UserError, match="a search needs"):
        search(Runs(), tmp_path, rates=rates, share=share)


def test_a_constant_answer_is_never_chosen_however_often_it_is_right(tmp_path):
    def run(plan, directory):
        collapsed = plan.learning_rate == 0.02
        return Fit(1, Scores(100, 90, 99 if collapsed else 10, 20), 10, 1.0, collapsed=collapsed)

    found = search(run, tmp_path, rates=(0.01, 0.02))
    assert found.chosen == 0.01
    assert (found.trials[1].validation_robust, found.trials[1].failed) == (99, "predictions collapsed")
