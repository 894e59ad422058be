"""How does a study go from its file to its record? Trials, choice, runs, stages; what lies in the store is taken."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from robustpeft.records import ArmRecord, ContrastRecord, RunRecord, StudyRecord, write_study_record
from robustpeft.study.grid.cells import Arm, Cell, arms_of, refuse_blanks
from robustpeft.study.grid.executor import Executor
from robustpeft.study.grid.local_executor import Local
from robustpeft.study.grid.perform import Event, Job, Perform, perform_cell, work
from robustpeft.study.grid.selection import choose, edges, trial_records
from robustpeft.study.grid.stages import perform_stage, stage_records, stage_tasks
from robustpeft.study.grid.store import Failure, Store
from robustpeft.study.grid.study_file import Study
from robustpeft.study.grid.task import Task

__all__ = ["Place", "run_study", "summarise"]

_POLL = 1.0  # seconds between looks at experiments that another process is working on


@dataclass(frozen=True)
class Place:
    """Where a study lies, and where its experiments run.

    Args:
        directory: Of its record and report.
        store: Of the experiments; several studies may share one.
        device: As for `find_device`.
        executor: Who runs them.
        perform: What does an experiment.
        command: What goes on with the study, for its record.
    """

    directory: Path
    store: Path
    device: str = "auto"
    executor: Executor = field(default_factory=Local)
    perform: Perform = perform_cell
    command: str = ""


def run_study(study: Study, place: Place, observer: Callable[[Event], None] | None = None) -> StudyRecord:
    """Return what came of all experiments of a study; those that lie in the store already are not run again.

    A failed experiment does not stop the others, and is not tried again before it is forgiven. The record in
    `place.directory` is written after the trials and at the end.

    Args:
        study: What to do.
        place: Where.
        observer: Told what happens, in this process.

    Raises:
        UserError: If the study asks for what no recipe has.
        KeyboardInterrupt: On Ctrl-C; asked again, it goes on where it was.
    """
    arms, store = arms_of(study), Store(place.store)
    refuse_blanks(arms)
    trials = [cell for arm in arms for _, cell in arm.trials()]
    for event in _run_all(trials, place):
        _tell(observer, event)
    write_study_record(summarise(study, place))
    runs: list[Cell] = []
    for arm in arms:
        chosen = choose(arm, trial_records(arm, store))
        if chosen is not None:
            runs += arm.runs(chosen)
    for event in _run_all(runs, place):
        _tell(observer, event)
    for event in _run_all(stage_tasks(study, arms, store), replace(place, perform=perform_stage)):
        _tell(observer, event)
    record = summarise(study, place)
    write_study_record(record)
    return record


def summarise(study: Study, place: Place) -> StudyRecord:
    """Return what the store knows of a study now; what is not done is said to be so."""
    store, arms = Store(place.store), arms_of(study)
    return StudyRecord(
        study.name,
        study.question,
        study.scale,
        os.path.relpath(place.store, place.directory),
        tuple(_arm_record(arm, store) for arm in arms),
        tuple(ContrastRecord(c.reference, c.against, c.grid) for c in study.comparisons),
        study.sources,
        study.headline,
        place.directory,
        stage_records(study, arms, store),
        place.command,
    )


def _run_all(cells: Sequence[Task], place: Place) -> Iterator[Event]:
    """Yield what happens to every experiment that is not done; wait for those that another process works on."""
    store = Store(place.store)
    waiting = {cell.identity: cell for cell in cells if store.state(cell.identity) != "done"}
    while waiting:
        free = [cell for cell in waiting.values() if store.state(cell.identity) != "running"]
        jobs = [Job(cell, place.store, place.device, place.perform) for cell in free]
        for event in place.executor.run(work, jobs):
            if event.kind == "died":
                store.fail(event.identity, Failure(event.reason))
            if event.kind not in ("started", "busy"):
                del waiting[event.identity]
            yield event
        if waiting:
            time.sleep(_POLL)


def _tell(observer: Callable[[Event], None] | None, event: Event) -> None:
    if observer is not None:
        observer(event)


def _arm_record(arm: Arm, store: Store) -> ArmRecord:
    trials = trial_records(arm, store)
    chosen = choose(arm, trials)
    runs = () if chosen is None else tuple(_run_record(cell, store) for cell in arm.runs(chosen))
    edge = edges(arm, chosen) if chosen and trials else ()
    return ArmRecord(arm.grid, arm.label, arm.group, dict(arm.coordinates), chosen, edge, trials, runs, arm.budget)


def _run_record(cell: Cell, store: Store) -> RunRecord:
    result, failure = store.result(cell.identity), store.failure(cell.identity)
    if result is None:
        reason = failure.reason if failure is not None else "not done"
        return RunRecord(cell.identity, cell.recipe.seed, failed=reason)
    return RunRecord(
        cell.identity,
        cell.recipe.seed,
        result.num_trained,
        result.num_trained_head,
        result.num_parameters,
        result.adapter_bytes,
        result.seconds,
        result.diverged,
        result.peak_bytes,
        result.peak_of,
        bool(result.diverged),
    )
