import itertools
import json
import logging
import random
import subprocess
import sys
from pathlib import Path

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
    monkeypatch.setattr(loop, "validate", lambda *_: next(scores))
    result = fit(make_task(), tmp_path)
    assert (result.best_epoch, result.collapsed) == (1, False)


def test_weights_that_never_did_anything_else_are_kept_and_called_collapsed(make_task, tmp_path, monkeypatch):
    scripted(monkeypatch, *(Scores(40, 20, 20, 40) for _ in range(4)))
    assert fit(make_task(), tmp_path).collapsed


EVERYTHING = {
    "dropout": 0.5,
    "before": (
        Phase(1, optimizer="sgd", learning_rate=0.1),
        Phase(2, trains="all", objective="natural"),
    ),
    "micro_batch_size": 5,
    "validations": 2,
}


@pytest.mark.parametrize("stop", random.Random(4).sample(range(1, 29), 10))
def test_a_run_in_phases_killed_at_any_step_resumes_to_bit_identical_weights(make_task, tmp_path, stop):
    whole, resumed = make_task(**EVERYTHING), make_task(**EVERYTHING)
    fit(whole, tmp_path / "whole")

    def kill(progress):
        if progress.step == stop:
            raise SystemExit

    with pytest.raises(SystemExit):
        fit(make_task(**EVERYTHING), tmp_path / "broken", observer=kill)
    assert fit(resumed, tmp_path / "broken", resume=True).steps == 28
    assert same(weights(whole), weights(resumed))
    one, two = ((tmp_path / n / "metrics.jsonl").read_text() for n in ("whole", "broken"))
    assert one == two


def test_phases_come_in_order_with_their_own_part_and_threat(make_task, tmp_path):
    seen, bodies = [], []
    task = make_task(before=EVERYTHING["before"], epsilon_ramp=EpsilonRamp(0, 0), averaging=0.0)

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


def test_what_memory_asked_for_is_remembered_on_resume(make_task, tmp_path):
    task = make_task()
    fit(task, tmp_path)
    assert load_checkpoint(tmp_path / "checkpoints").counters.at_once == 0
    fit(make_task(micro_batch_size=7), tmp_path / "parts")
    assert load_checkpoint(tmp_path / "parts" / "checkpoints").counters.at_once == 7


KILLED = """
import importlib.util, os, pathlib, random, signal, sys, torch
from robustpeft.training import fit

torch.set_num_threads(1)
folder = pathlib.Path({folder!r})

def module(name):
    spec = importlib.util.spec_from_file_location(name, folder / (name + ".py"))
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found

build, everything, root = module("conftest").build_task, module("test_fit").EVERYTHING, pathlib.Path(sys.argv[1])

def kill(stop):
    def observe(progress):
        if progress.step == stop:
            os.kill(os.getpid(), signal.SIGKILL)
    return observe

whole = build(**everything)
fit(whole, root / "whole")
for stop in random.sample(range(1, 29), 10):
    child = os.fork()
    if not child:
        fit(build(**everything), root / str(stop), observer=kill(stop))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    task = build(**everything)
    fit(task, root / str(stop), resume=True)
    mine, theirs = task.tunable.named_parameters(), whole.tunable.named_parameters()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine), stop
"""


@pytest.mark.slow
def test_kill_9_at_ten_random_steps_changes_no_bit(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(KILLED.format(folder=str(Path(__file__).parent)))
    subprocess.run([sys.executable, "-W", "ignore", str(program), str(tmp_path)], check=True, timeout=250)
