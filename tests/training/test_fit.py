"""What a tuning run does from its first step to its last; where it goes on is in test_fit_resumed."""

import itertools
import json
import logging

import pytest
import torch
from safetensors.torch import load_file

from robustpeft.errors import UserError
from robustpeft.objectives import Loss, Natural
from robustpeft.training import EpsilonRamp, Phase, Scores, fit, loop
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

        def prepare(self, model, lesson, moment):
            epsilons.append(moment.threat.epsilon)
            return lesson

        def loss(self, model, lesson):
            return Natural().loss(model, lesson)

    fit(make_task(objective=Spy(), epsilon_ramp=EpsilonRamp(0.25, 0.75)), tmp_path)
    expected = [0.02 * min(1.0, max(0.0, (s / 16 - 0.25) / 0.5)) for s in range(16)]
    assert epsilons == pytest.approx(expected)


def test_a_loss_that_is_not_finite_stops_at_once_and_names_the_images(make_task, tmp_path):
    steps = itertools.count()

    class Breaks(Natural.__mro__[1]):
        adversarial = False

        def prepare(self, model, lesson, moment):
            return lesson

        def loss(self, model, lesson):
            value = Natural().loss(model, lesson).total
            return Loss(value * (float("nan") if next(steps) == 6 else 1.0))

    with pytest.raises(UserError, match=r"not finite at step 6 .*image ids.*failed_batch"):
        fit(make_task(objective=Breaks()), tmp_path)
    assert load_file(tmp_path / "failed_batch.safetensors")["images"].shape == (16, 3, 4, 4)
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


def test_natural_tuning_is_selected_by_clean_accuracy(make_task, tmp_path):
    result = fit(make_task(objective=Natural()), tmp_path)
    assert result.scores.robust == result.scores.clean
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert "robust_accuracy" not in lines[-1]


def test_a_collapsed_model_is_not_kept_while_there_is_another(make_task, tmp_path, monkeypatch):
    scores = iter([Scores(40, 20, 2, 25), Scores(40, 22, 22, 40), Scores(40, 21, 1, 25), Scores(40, 20, 1, 25)])
    monkeypatch.setattr(loop, "validate", lambda *_: next(scores))
    result = fit(make_task(), tmp_path)
    assert (result.best_epoch, result.collapsed) == (1, False)


def test_weights_that_never_did_anything_else_are_kept_and_called_collapsed(make_task, tmp_path, monkeypatch):
    scripted(monkeypatch, *(Scores(40, 20, 20, 40) for _ in range(4)))
    assert fit(make_task(), tmp_path).collapsed


def test_phases_come_in_order_with_their_own_part_and_threat(make_task, tmp_path):
    seen, bodies = [], []
    before = (Phase(1, optimizer="sgd", learning_rate=0.1), Phase(2, trains="all", objective="natural"))
    task = make_task(before=before, epsilon_ramp=EpsilonRamp(0, 0), averaging=0.0)

    def watch(progress):
        seen.append((progress.phase, progress.epoch, progress.epsilon))
        bodies.append(task.tunable.model[2].weight.detach().clone())

    result = fit(task, tmp_path, observer=watch)
    assert list(dict.fromkeys(seen)) == [
        ("head", 1, 0.02),
        *(("natural", epoch, 0.0) for epoch in (2, 3)),
        *(("tuning", epoch, 0.02) for epoch in (4, 5, 6, 7)),
    ]
    first = seen.index(("natural", 2, 0.0))
    assert all(torch.equal(body, bodies[0]) for body in bodies[:first])
    assert not torch.equal(bodies[first], bodies[0])
    assert result.best_epoch >= 4
    assert all(p.requires_grad for p in task.tunable.named_parameters().values())
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["head", "natural", "natural"] + ["tuning"] * 4
    assert ["clean_accuracy" in line for line in lines] == [True, False, True, True, True, True, True]


def scripted(monkeypatch, *scores):
    told = iter(scores)
    monkeypatch.setattr(loop, "validate", lambda *_: next(told))


def test_it_stops_when_nothing_gets_better_and_stays_stopped(make_task, tmp_path, monkeypatch):
    scripted(monkeypatch, Scores(40, 20, 2, 25), Scores(40, 30, 1, 25), Scores(40, 20, 2, 25))
    result = fit(make_task(patience=2), tmp_path)
    assert (result.stopped, result.best_epoch, result.steps) == (True, 1, 12)
    assert fit(make_task(patience=2), tmp_path, resume=True).steps == 12


def test_a_better_look_begins_the_waiting_anew(make_task, tmp_path, monkeypatch):
    scripted(monkeypatch, *(Scores(40, 20, robust, 25) for robust in (2, 1, 3, 2)))
    result = fit(make_task(patience=2), tmp_path)
    assert (result.stopped, result.best_epoch, result.steps) == (False, 3, 16)


def test_among_equally_robust_epochs_the_clean_one_is_kept_then_the_earlier(make_task, tmp_path, monkeypatch):
    scripted(monkeypatch, *(Scores(40, clean, 5, 25) for clean in (20, 22, 22, 21)))
    assert fit(make_task(), tmp_path).best_epoch == 2


def test_catastrophic_overfitting_is_said(make_task, tmp_path, monkeypatch, caplog):
    scripted(monkeypatch, *(Scores(40, 30, robust, 25) for robust in (20, 20, 1, 1)))
    seen = []

    def judge(looks):
        seen.append([(look.epoch, look.robust) for look in looks])
        assert 0 < looks[-1].trained < 1
        return "catastrophic" if len(looks) == 3 else None

    monkeypatch.setattr(loop, "catastrophic", judge)
    with caplog.at_level(logging.WARNING):
        fit(make_task(), tmp_path)
    assert seen[-1] == [(1, 0.5), (2, 0.5), (3, 0.025), (4, 0.025)]
    assert [r.getMessage() for r in caplog.records].count("catastrophic") == 1


def test_a_collapse_in_training_is_said_before_validation_looks(make_task, tmp_path, caplog):
    task = make_task(learning_rate=1e-9, averaging=0.0, batch_size=2, validations=1, epochs=1)
    with torch.no_grad():
        task.tunable.model[2].bias.copy_(torch.tensor([50.0, -50.0]))
    with caplog.at_level(logging.WARNING):
        fit(task, tmp_path)
    first = caplog.records[0].getMessage()
    assert first.startswith("by step 20 nearly all training images get the same prediction")
