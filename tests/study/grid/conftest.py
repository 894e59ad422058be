"""A small study, and an experiment that costs nothing and is robust as its rate and seed say."""

import dataclasses
import sys
from pathlib import Path

import pytest

from robustpeft.study.grid import CellResult, Job, Study, arms_of


def quick(cell, directory, device):
    """Robust validation images peak at a rate of 0.02; every call leaves a line in ``calls``."""
    with (directory / "calls").open("a") as file:
        file.write("called\n")
    rate, plan = cell.recipe.training.learning_rate, cell.recipe.training
    if plan.epochs == 13:
        raise ValueError("thirteen epochs\nare too many")
    robust = 50 - round(1000 * abs(rate - 0.02)) + cell.recipe.seed
    return CellResult(1000, 100, 10, 100, 95, robust, 1.5, diverged="not finite" if rate >= 1 else "")


@pytest.fixture
def perform():
    return quick


@pytest.fixture
def study():
    return Study(
        name="small",
        base="fulllora-digits",
        axes={"method": ("lora", {"name": "fulllora", "r": 3})},
        select={"training.learning_rate": (0.01, 0.02, 0.03)},
        audit=None,
    )


@pytest.fixture
def own(request, tmp_path, monkeypatch):
    """The test file's `OWN` as a module that only this process's search path knows, where the store is relative."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "own_work.py").write_text(request.module.OWN)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("own_work", None)
    from own_work import perform

    yield perform
    sys.modules.pop("own_work", None)


@pytest.fixture
def jobs_of(study, own):
    """The function that makes a job of one's own work for each number of epochs."""

    def jobs(epochs):
        made = dataclasses.replace(study, axes={"training.epochs": tuple(epochs)}, select={}, seeds=(1,))
        return [Job(arm.runs({})[0], Path("store"), "cpu", own) for arm in arms_of(made)]

    return jobs
