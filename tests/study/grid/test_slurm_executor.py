import contextlib
import dataclasses
import itertools
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from robustpeft.attacks import FGSM
from robustpeft.auditing import AuditPlan
from robustpeft.errors import UserError
from robustpeft.records import read_record
from robustpeft.study.grid import (
    Job,
    Place,
    SlurmArray,
    Store,
    Study,
    arms_of,
    perform_cell,
    run_study,
    slurm_executor,
    work,
)
from robustpeft.study.grid.slurm_executor import _minutes

_FIRST = itertools.count(os.getpid() * 1000, 100)  # submitit remembers the states of jobs by their numbers

OWN = """
import time
from robustpeft.study.grid import CellResult

def perform(cell, directory, device):
    with (directory / "calls").open("a") as file:
        file.write("called\\n")
    epochs = cell.recipe.training.epochs
    if epochs == 13:
        raise ValueError("thirteen")
    while epochs == 14 and not (directory / "go").exists():
        time.sleep(0.05)
    return CellResult(10, 5, 1, 100, 90, epochs, 1.5)
"""

QUICK = {
    "training.epochs": 4,
    "training.batch_size": 50,
    "training.train_images": 200,
    "training.validations": 2,
    "training.selection_images": 20,
    "training.selection_attack.steps": 1,
    "method.r": 1,
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A directory of commands that behave like SLURM's."""
    place = tmp_path / "slurm"
    place.mkdir()
    fake = Path(__file__).with_name("fake_slurm.py")
    for name in ("sbatch", "srun", "sacct", "scontrol"):
        (place / name).write_text(f'#!/bin/sh\nexec {sys.executable} {fake} {name} "$@"\n')
        (place / name).chmod(0o755)
    monkeypatch.setenv("FAKE_SLURM", str(place))
    monkeypatch.setenv("FAKE_SLURM_FIRST", str(next(_FIRST)))
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return place


def wait_for(found, seconds=200):
    until = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return value


def calls(job):
    return (Store("store").directory(job.cell.identity) / "calls").read_text().count("called")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupts: its cell, its directory, its result."""
    plan = AuditPlan(epsilons=(0.1,), attacks=(FGSM(),), perturbations=(), images=20, gallery=0)
    study = Study("q", "fulllora-digits", set=QUICK, axes={"threat.epsilon": (0.1,)}, seeds=(1,), audit=plan)
    cell, directory = arms_of(study)[0].runs({})[0], tmp_path_factory.mktemp("whole")
    return cell, directory, perform_cell(cell, directory, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_job_that_is_preempted_goes_on_to_the_very_same_adapter(tmp_path, whole, number):
    cell, uninterrupted, result = whole
    store = Store(tmp_path / "store")
    directory = store.directory(cell.identity)
    claims = []

    def preempt():
        wait_for((directory / "run" / "checkpoints" / "last.safetensors").exists)
        claims.append(json.loads(next(directory.glob("claim-*")).read_text()))
        assert not (directory / "run" / "adapter_model.safetensors").exists()  # in the middle
        os.kill(claims[0]["process"], number)

    watcher = threading.Thread(target=preempt)
    watcher.start()
    job = Job(cell, store.path, "cpu", perform_cell)
    events = list(SlurmArray(cluster="local").run(work, [job]))
    watcher.join()
    assert [event.kind for event in events] == ["done"]
    last = json.loads((directory / "claim-1").read_text())
    assert last["process"] != claims[0]["process"]
    for name in ("validation_clean", "validation_robust", "num_trained"):
        assert getattr(store.result(cell.identity), name) == getattr(result, name)
    weights = "run/adapter_model.safetensors"
    assert (directory / weights).read_bytes() == (uninterrupted / weights).read_bytes()
    assert read_record(directory).rows == read_record(uninterrupted).rows


@pytest.mark.slow
def test_an_array_is_submitted_with_what_was_asked_and_told_from_the_store(jobs_of, slurm):
    jobs = jobs_of([1, 13, 2])
    how = SlurmArray(
        cpus=2, gpus=1, partition="gpu", time="90m", mem="16G", parallel=2, more={"nice": 5}, setup=("true",)
    )
    ended = {event.identity: event for event in how.run(work, jobs)}
    first, bad, other = (ended[job.cell.identity] for job in jobs)
    assert (first.kind, other.kind) == ("done", "done")
    assert (bad.kind, bad.reason) == ("failed", "thirteen")
    (batch,) = slurm.glob("batch-*")
    asked = {line.removeprefix("#SBATCH --") for line in batch.read_text().splitlines()}
    assert asked >= {
        "array=0-2%2",
        "cpus-per-task=2",
        "gpus-per-node=1",
        "partition=gpu",
        "time=90",
        "mem=16G",
        "nice=5",
        "signal=USR2@120",
        "true",
    }
    assert list(how.run(work, [])) == []


@pytest.mark.slow
def test_a_driver_that_was_killed_finds_its_jobs_in_the_queue(jobs_of, slurm, caplog, monkeypatch):
    jobs = jobs_of([14, 1])
    slow, quick = (job.cell.identity for job in jobs)
    watching = SlurmArray(together=1).run(work, jobs)
    assert next(watching).identity == quick
    watching.close()
    assert "scancel" in caplog.text
    wait_for(lambda: Store("store").state(slow) == "running")

    def let_it_go_and_sleep(seconds):  # called when the second driver has found the job and waits for it
        (Store("store").directory(slow) / "go").touch()
        time.sleep(seconds)

    clock = SimpleNamespace(sleep=let_it_go_and_sleep, monotonic=time.monotonic)
    monkeypatch.setattr(slurm_executor, "time", clock)
    assert [(event.identity, event.kind) for event in SlurmArray().run(work, jobs[:1])] == [(slow, "done")]
    assert len(list(slurm.glob("batch-*"))) == 1
    assert [calls(job) for job in jobs] == [1, 1]


@pytest.mark.slow
def test_a_job_that_a_person_cancelled_is_not_queued_again(jobs_of, slurm):
    (job,) = jobs_of([14])
    directory = Store("store").directory(job.cell.identity)

    def cancel():
        wait_for((directory / "calls").exists)
        (state,) = slurm.glob("state-*")
        state.write_text("CANCELLED by 1000")
        os.kill(json.loads((directory / "claim-0").read_text())["process"], signal.SIGTERM)

    with contextlib.ExitStack() as stack:
        watcher = threading.Thread(target=cancel)
        watcher.start()
        stack.callback(watcher.join)
        (event,) = SlurmArray().run(work, [job])
    assert event.kind == "died"
    assert "ended as CANCELLED; see " in event.reason
    assert Store("store").state(job.cell.identity) == "waiting"  # its claim was given back on the way out


@pytest.mark.slow
def test_several_in_one_job_and_a_whole_study(study, own, slurm, tmp_path):
    small = dataclasses.replace(study, axes={"training.epochs": (1, 2, 3)}, select={}, seeds=(1,))
    record = run_study(small, Place(tmp_path / "study", Path("store"), "cpu", SlurmArray(together=3), own))
    assert [arm.runs[0].failed for arm in record.arms] == [""] * 3
    (batch,) = slurm.glob("batch-*")
    assert "--array" not in batch.read_text()


def test_without_sbatch_it_says_where_to_go(jobs_of, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="go to a login node"):
        next(SlurmArray().run(work, jobs_of([1])))


@pytest.mark.parametrize(
    ("said", "minutes"),
    [("90m", 90), ("4h", 240), ("1.5h", 90), ("2d", 2880), ("12:00:00", 720), ("1-12:30:01", 2191), ("0m", 1)],
)
def test_times_have_units(said, minutes):
    assert _minutes(said) == minutes
    assert SlurmArray(time=said).time == said


@pytest.mark.parametrize("said", [240, "240", "4 hours", "", "30:00"])
def test_a_time_whose_unit_nobody_knows_is_refused(said):
    with pytest.raises(UserError, match="time must have a unit, as in 90m"):
        SlurmArray(time=said)


@pytest.mark.parametrize("wrong", [{"cpus": 0}, {"parallel": 0}, {"together": 0}, {"gpus": -1}])
def test_numbers_that_cannot_be_are_refused(wrong):
    with pytest.raises(UserError, match="must be at least"):
        SlurmArray(**wrong)
