"""A tuning run that was broken off at any step goes on to the very same weights."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from robustpeft.errors import UserError
from robustpeft.training import Phase, fit
from robustpeft.training.checkpoint import load_checkpoint


def weights(task):
    return {n: p.detach().clone() for n, p in task.tunable.named_parameters().items()}


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


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


def test_ctrl_c_says_how_far_it_came(make_task, tmp_path):
    def interrupt(progress):
        if progress.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="after 1 of 4 epochs"):
        fit(make_task(), tmp_path, observer=interrupt)


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

build, everything = module("conftest").build_task, module("test_fit_resumed").EVERYTHING
root = pathlib.Path(sys.argv[1])

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
