import pytest

from robustpeft.errors import UserError
from robustpeft.study.grid import Job, Local, arms_of, work

QUICK_WORK = """
import os
from dataclasses import dataclass
from pathlib import Path
from robustpeft.study.grid import CellResult
def perform(cell, directory, device):
    import torch
    with (directory / "calls").open("a") as file:
        file.write(f"{os.getpid()} {torch.get_num_threads()}\\n")
    if cell.recipe.training.epochs == 13:
        os.kill(os.getpid(), 9)
    if cell.recipe.training.epochs == 14 and len((directory / "calls").read_text().splitlines()) == 1:
        os._exit(3)
    return CellResult(10, 5, 1, 100, 90, 80, 1.5)
"""


def cells(study, epochs):
    import dataclasses

    made = dataclasses.replace(study, axes={"training.epochs": tuple(epochs)}, select={}, seeds=(1,))
    return [arm.runs({})[0] for arm in arms_of(made)]


def test_in_process_they_run_one_after_the_other(study, tmp_path, perform):
    jobs = [Job(cell, tmp_path, "cpu", perform) for cell in cells(study, (1, 2))]
    events = list(Local().run(work, jobs))
    assert [(event.identity, event.kind) for event in events] == [
        (job.cell.identity, kind) for job in jobs for kind in ("started", "done")
    ]
    assert events[0].title == jobs[0].cell.title


@pytest.mark.slow
def test_workers_do_every_job_once_and_survive_the_death_of_one(study, tmp_path, monkeypatch):
    (tmp_path / "quick_work.py").write_text(QUICK_WORK)
    monkeypatch.syspath_prepend(tmp_path)
    from quick_work import perform

    chosen = cells(study, (13, 14, 1, 2, 3, 4))
    store = tmp_path / "store"
    events = list(Local(2).run(work, [Job(cell, store, "cpu", perform) for cell in chosen]))
    ended = {event.identity: event for event in events if event.kind != "started"}
    assert len(ended) == len([event for event in events if event.kind != "started"]) == 6
    assert [ended[cell.identity].kind for cell in chosen] == ["died", *["done"] * 5]
    assert ended[chosen[0].identity].reason == "its process died with exit code -9"
    calls = [(store / cell.identity / "calls").read_text().split() for cell in chosen]
    assert [len(lines) // 2 for lines in calls] == [2, 2, 1, 1, 1, 1]
    assert {threads for lines in calls for threads in lines[1::2]} == {"1"}


def test_fewer_than_no_workers_are_refused():
    with pytest.raises(UserError, match="workers must be at least 0 and deaths at least 1; got -1 and 2"):
        Local(-1)
