import gc
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from robustpeft.errors import UserError
from robustpeft.study.grid import Event, Place, RayTasks, Store, run_study, work
from robustpeft.study.grid.runner import _run_all

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

OWN = """
import os
import time
from robustpeft.study.grid import CellResult

def perform(cell, directory, device):
    import ray
    import torch
    with (directory / "calls").open("a") as file:
        file.write(f"{ray.get_runtime_context().get_node_id()} {torch.get_num_threads()}\\n")
    if cell.recipe.training.epochs == 13:
        raise ValueError("thirteen")
    if cell.recipe.training.epochs == 14:
        os.kill(os.getpid(), 9)
    until = time.monotonic() + (cell.recipe.training.epochs / 100 if cell.recipe.training.epochs > 20 else 0)
    while time.monotonic() < until:
        time.sleep(0.05)
    return CellResult(10, 5, 1, 100, 90, cell.recipe.seed, 1.5)
"""

DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from own_work import perform
from robustpeft.study.grid import Place, RayTasks, Study, run_study
study = Study("small", "fulllora-digits", axes={"training.epochs": (1, 2, 400, 401)}, seeds=(1,))
place = Place(Path("study"), Path("store"), "cpu", RayTasks(), perform)
run_study(study, place, lambda event: print(event, flush=True))
print("finished", flush=True)
"""


@pytest.fixture
def cluster(monkeypatch):
    """A head node and one more, each with one CPU."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        yield made
        ray.shutdown()
        made.shutdown()
        del made
        gc.collect()  # within these warnings: Ray does not wait for the processes that it ends


@pytest.fixture
def embedded():
    import ray

    yield ray
    ray.shutdown()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def is_at(job, node):
    file = Store("store").directory(job.cell.identity) / "calls"
    return file.exists() and node.node_id in file.read_text() and not (file.parent / "result.json").exists()


def wait_for(found, seconds=60):
    until = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return value


def calls(job):
    return (Store("store").directory(job.cell.identity) / "calls").read_text().splitlines()


def test_a_node_is_lost_and_every_result_still_comes_exactly_once(jobs_of, own, cluster):
    doomed = cluster.add_node(num_cpus=1)
    jobs = jobs_of([400 + i for i in range(6)])
    place = Place(Path("study"), Path("store"), "cpu", RayTasks(address=cluster.address), own)
    store, done, at_work = Store("store"), [], []
    for event in _run_all([job.cell for job in jobs], place):
        done += [event.identity] if event.kind == "done" else []
        if not at_work:
            at_work = wait_for(lambda: [job for job in jobs if is_at(job, doomed)])
            cluster.remove_node(doomed, allow_graceful=False)
    assert sorted(done) == sorted(job.cell.identity for job in jobs)
    assert all(store.result(job.cell.identity).validation_robust == 1 for job in jobs)
    begun = {job.cell.identity: len(calls(job)) for job in jobs}
    assert {identity for identity, count in begun.items() if count > 1} <= {job.cell.identity for job in at_work}
    assert max(begun.values()) == 2


def test_shares_search_path_and_errors_reach_the_driver(jobs_of, embedded):
    jobs = jobs_of([1, 13, 14, 2])
    ended = {event.identity: event for event in RayTasks(cpus=1, losses=1).run(work, jobs)}
    first, bad, killed, other = (ended[job.cell.identity] for job in jobs)
    assert (first.kind, other.kind) == ("done", "done")
    assert (bad.kind, bad.reason) == ("failed", "thirteen")
    assert killed.kind == "died"
    assert "worker" in killed.reason
    assert len(calls(jobs[2])) == 2
    assert calls(jobs[0])[0].split()[1] == "1"
    assert embedded.is_initialized()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    with pytest.raises(UserError, match="no node has 4000 CPUs and 0 GPUs"):
        next(RayTasks(cpus=4000).run(work, jobs))


def test_a_killed_driver_goes_on_where_it_was(study, own, tmp_path):
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "modules")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        lines = [driver.stdout.readline() for _ in range(2)]
        assert all("done" in line for line in lines)
        store = Store("store")
        wait_for(lambda: [path for path in store.path.iterdir() if store.state(path.name) == "running"])
        driver.send_signal(signal.SIGKILL)
    wait_for(lambda: all(store.state(path.name) != "running" for path in store.path.iterdir()))  # its tasks end with it
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    assert ended.stdout.endswith("finished\n")
    counts = sorted(len(file.read_text().splitlines()) for file in store.path.glob("*/calls"))
    assert counts[:2] == [1, 1]
    assert len(counts) == 4
    assert all(store.result(path.name) for path in store.path.iterdir())


def test_nobody_answers(jobs_of):
    with pytest.raises(UserError, match=r"no Ray cluster answers at '127.0.0.1:1'"):
        next(RayTasks(address="127.0.0.1:1").run(work, jobs_of([1])))


def test_a_whole_study_runs_on_it(study, own, embedded, tmp_path):
    record = run_study(study, Place(tmp_path / "study", tmp_path / "store", "cpu", RayTasks(cpus=0.5), own))
    assert [len(arm.runs) for arm in record.arms] == [3, 3]
    assert not any(run.failed for arm in record.arms for run in arm.runs)


@pytest.mark.parametrize("wrong", [{"cpus": -1}, {"cpus": 0}, {"losses": -1}])
def test_shares_that_cannot_be_are_refused(wrong):
    with pytest.raises(UserError, match="at least 0"):
        RayTasks(**wrong)


def test_nothing_to_do_starts_nothing():
    import ray

    assert list(RayTasks().run(Event, [])) == []
    assert not ray.is_initialized()
