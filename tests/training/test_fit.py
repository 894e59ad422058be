import itertools
import json
import logging
import sys

import pytest
import torch

from robustpeft.errors import UserError
from robustpeft.objectives import Loss, Natural
from robustpeft.training import EpsilonRamp, Scores, fit
from robustpeft.training.checkpoint import load_checkpoint


def weights(task):
    return {n: p.detach().clone() for n, p in task.tunable.named_parameters().items()}


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


def test_tuning_lowers_the_loss_and_reports_every_step(make_task, tmp_path):
    seen = []
    task = make_task(epochs=8, averaging=0.0)
    result = fit(task, tmp_path, observer=seen.append)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    assert sorted({p.step for p in seen}) == list(range(1, 33))
    assert [p.step for p in seen].count(8) == 2  # the second with the accuracies of the first look at validation
    assert seen[-1].steps == 32
    assert seen[0].clean_accuracy is None
    assert 0 <= seen[-1].robust_accuracy <= seen[-1].clean_accuracy <= 1
    assert result.steps == 32
    assert not task.tunable.model.training


def test_the_same_seed_gives_the_same_weights_bit_for_bit(make_task, tmp_path):
    runs = []
    for name in ("a", "b"):
        task = make_task(dropout=0.5)
        fit(task, tmp_path / name)
        runs.append(weights(task))
    assert same(*runs)


@pytest.mark.parametrize("stop", [1, 4, 5, 9, 14])
def test_a_run_killed_at_any_step_resumes_to_bit_identical_weights(make_task, tmp_path, stop):
    whole = make_task(dropout=0.5)
    fit(whole, tmp_path / "whole")

    class Killed(BaseException):
        pass

    def kill(progress):
        if progress.step == stop:
            raise Killed

    with pytest.raises(Killed):
        fit(make_task(dropout=0.5), tmp_path / "broken", observer=kill)
    resumed = make_task(dropout=0.5)
    result = fit(resumed, tmp_path / "broken", resume=True)
    assert same(weights(whole), weights(resumed))
    assert result.steps == 16
    one, two = ((tmp_path / n / "metrics.jsonl").read_text() for n in ("whole", "broken"))
    assert one == two


def test_a_finished_run_resumes_to_itself_without_a_step(make_task, tmp_path):
    task = make_task()
    fit(task, tmp_path)
    again = make_task()
    seen = []
    fit(again, tmp_path, resume=True, observer=seen.append)
    assert seen == []
    assert same(weights(task), weights(again))


def test_another_plan_cannot_go_on_from_a_checkpoint(make_task, tmp_path):
    fit(make_task(), tmp_path)
    with pytest.raises(UserError, match="belongs to another plan"):
        fit(make_task(learning_rate=0.01), tmp_path, resume=True)


def test_the_best_validated_weights_are_kept_not_the_last(make_task, tmp_path):
    """With a rate that ruins everything late, the kept weights are those of an earlier epoch."""
    task = make_task(epochs=4, averaging=0.0)
    result = fit(task, tmp_path)
    best = load_checkpoint(tmp_path / "checkpoints").of("best")
    assert same(best, weights(task))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    scores = [(line["robust_accuracy"], line["clean_accuracy"], -line["epoch"]) for line in lines]
    assert result.best_epoch == -max(scores)[2]


def test_the_threat_follows_the_ramp(make_task, tmp_path):
    epsilons = []

    class Spy(Natural.__mro__[1]):
        adversarial = True

        def loss(self, model, images, labels, threat, seed, ids):
            epsilons.append(threat.epsilon)
            return Natural()(model, images, labels, threat)

    fit(make_task(objective=Spy(), epsilon_ramp=EpsilonRamp(0.25, 0.75)), tmp_path)
    expected = [0.02 * min(1.0, max(0.0, (s / 16 - 0.25) / 0.5)) for s in range(16)]
    assert epsilons == pytest.approx(expected)


def test_a_loss_that_is_not_finite_stops_at_once_and_names_the_images(make_task, tmp_path):
    steps = itertools.count()

    class Breaks(Natural.__mro__[1]):
        adversarial = False

        def loss(self, model, images, labels, threat, seed, ids):
            value = Natural()(model, images, labels, threat).total
            return Loss(value * (float("nan") if next(steps) == 6 else 1.0))

    with pytest.raises(UserError, match=r"not finite at step 6 .*image ids"):
        fit(make_task(objective=Breaks()), tmp_path)
    assert load_checkpoint(tmp_path / "checkpoints").counters.step == 4


def test_a_collapse_is_said(make_task, tmp_path, caplog):
    task = make_task(learning_rate=1e-9, averaging=0.0)
    with torch.no_grad():
        task.tunable.model[2].bias.copy_(torch.tensor([50.0, -50.0]))
    with caplog.at_level(logging.WARNING):
        fit(task, tmp_path)
    assert "get the same prediction" in caplog.text


def test_the_global_random_state_is_left_alone(make_task, tmp_path):
    task = make_task(dropout=0.5)
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    fit(task, tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())


def test_ctrl_c_says_how_far_it_came(make_task, tmp_path):
    def interrupt(progress):
        if progress.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="after 1 of 4 epochs"):
        fit(make_task(), tmp_path, observer=interrupt)


def test_natural_tuning_is_selected_by_clean_accuracy(make_task, tmp_path):
    result = fit(make_task(objective=Natural()), tmp_path)
    assert result.scores.robust == result.scores.clean
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert "robust_accuracy" not in lines[-1]


def test_a_collapsed_model_is_not_kept_while_there_is_another(make_task, tmp_path, monkeypatch):
    scores = iter([Scores(40, 20, 2, 25), Scores(40, 22, 22, 40), Scores(40, 21, 1, 25), Scores(40, 20, 1, 25)])
    monkeypatch.setattr(sys.modules[fit.__module__], "validate", lambda *_: next(scores))
    assert fit(make_task(), tmp_path).best_epoch == 1
