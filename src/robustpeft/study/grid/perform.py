"""How does one experiment become a result? Tune, audit, and keep what later readers need."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from robustpeft.study.audit_model import audit, describe_subject
from robustpeft.study.grid.cells import Cell
from robustpeft.study.grid.peak_memory import PeakMemory
from robustpeft.study.grid.store import CellResult, Failure, Store
from robustpeft.study.grid.task import Task
from robustpeft.study.tune import load_pair, tune_recipe
from robustpeft.training import NotFiniteError

__all__ = ["Event", "Job", "Perform", "perform_cell", "work"]

Perform = Callable[[Any, Path, str], CellResult]
"""Does a task of the kind that it knows, most often a `Cell`, in its directory, on a device."""

_KEPT_OF_TRIALS = {".robustpeft", "metrics.jsonl", "recipe.yaml"}


@dataclass(frozen=True)
class Job:
    """One experiment for a worker, which may be another process or machine.

    Args:
        cell: The experiment, or what else is to be done.
        store: Path of the store.
        device: Where to run.
        perform: What does it.
        alone: Whether the process does nothing else, so that its memory is the experiment's.
    """

    cell: Task
    store: Path
    device: str
    perform: Perform
    alone: bool = True


@dataclass(frozen=True)
class Event:
    """What happened to an experiment.

    Args:
        identity: Which one.
        kind: ``busy`` if another process works on it; ``died`` if the worker was lost, and with it the reason.
        reason: Why it failed.
        title: The experiment, for people.
    """

    identity: str
    kind: Literal["started", "done", "failed", "busy", "died"]
    reason: str = ""
    title: str = ""


def work(job: Job) -> Event:
    """Do a job unless its result is there or another process is at it; an error ends in the store, not here."""
    return replace(_work(Store(job.store), job), title=job.cell.title)


def _work(store: Store, job: Job) -> Event:
    identity = job.cell.identity
    with store.claim(identity) as mine:
        if mine is None:
            return Event(identity, "busy")
        if store.result(identity) is not None:
            return Event(identity, "done")
        if (failure := store.failure(identity)) is not None:
            return Event(identity, "failed", failure.reason)
        found = _attempt(store, job)
        if not mine.holds():
            return Event(identity, "busy")  # this machine slept so long that another took it over
        if isinstance(found, Failure):
            store.fail(identity, found)
            return Event(identity, "failed", found.reason)
        store.finish(identity, found)
        store.trim(identity)
    return Event(identity, "done")


def _attempt(store: Store, job: Job) -> CellResult | Failure:
    try:
        store.describe(job.cell)
        memory = PeakMemory.begin(job.device, alone=job.alone)
        found = job.perform(job.cell, store.directory(job.cell.identity), job.device)
        peak, whose = memory.end()
        return replace(found, peak_bytes=peak, peak_of=whose)
    except Exception as error:  # one experiment must not stop the others
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Failure(reason, traceback.format_exc())


def perform_cell(cell: Cell, directory: Path, device: str) -> CellResult:
    """Tune and audit in `directory`, going on where an earlier attempt was broken off.

    A trial keeps its metrics alone. A loss that is not finite is a result: that rate will not do.
    """
    try:
        run = tune_recipe(cell.recipe, directory / "run", resume=True, device=device)
    except NotFiniteError as error:
        return CellResult(0, 0, 0, 0, 0, 0, 0.0, diverged=str(error).splitlines()[0])
    started = time.perf_counter()
    if cell.audit is not None:
        plan = replace(cell.audit, keep_images=False)  # of hundreds of cells they would fill the disk
        audit(run.model, load_pair(cell.recipe)[1], plan=plan, output=directory)
        shutil.rmtree(directory / "ledger", ignore_errors=True)  # its rows are in audit_images.jsonl
    subject, scores = describe_subject(run.model), run.tuning["validation"]
    result = CellResult(
        subject.num_parameters,
        subject.num_trained,
        subject.num_trained_head,
        scores["n"],
        scores["clean"],
        scores["robust"],
        run.tuning["seconds"],
        round(time.perf_counter() - started, 3) if cell.audit is not None else 0.0,
        subject.adapter_bytes or 0,
        collapsed=bool(run.tuning.get("collapsed")),
    )
    if cell.audit is None:
        _keep_metrics(directory / "run")
    return result


def _keep_metrics(run: Path) -> None:
    for entry in run.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name not in _KEPT_OF_TRIALS:
            entry.unlink()
