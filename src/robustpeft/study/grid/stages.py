"""What do several runs say together? Stages after the runs: transfer matrices, and distances between parameters.

An answer lies in the store under the hash of everything that it depends on, the runs included, so it is found once. It
is found where the runs were: each stage is a task for the study's executor.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustpeft.records import StageRecord
from robustpeft.records.distance_record import DISTANCE_FILE
from robustpeft.records.transfer_record import TRANSFER_FILE
from robustpeft.study.axes import AXES
from robustpeft.study.device import find_device
from robustpeft.study.distances import measure_distances
from robustpeft.study.grid.cells import Arm, Cell
from robustpeft.study.grid.selection import choose, trial_records
from robustpeft.study.grid.stage_file import DistanceStage, TransferStage
from robustpeft.study.grid.store import CellResult, Store
from robustpeft.study.grid.study_file import Study
from robustpeft.study.run_directory import load
from robustpeft.study.transfer import transfer
from robustpeft.study.tune import load_pair
from robustpeft.types import THREATS, look_up, to_plain

__all__ = ["StageTask", "failed_stages", "perform_stage", "stage_records", "stage_tasks"]

_Stage = TransferStage | DistanceStage
_FILES: Mapping[type, tuple[str, str]] = {
    TransferStage: ("transfer", TRANSFER_FILE),
    DistanceStage: ("distance", DISTANCE_FILE),
}


@dataclass(frozen=True)
class StageTask:
    """A stage and its runs.

    Args:
        stage: What is asked.
        cells: The runs of each of its arms, by label.
        missing: Why it cannot be answered; empty if it can.
    """

    stage: _Stage
    cells: Mapping[str, tuple[Cell, ...]]
    missing: str

    @property
    def kind(self) -> str:
        """``transfer`` or ``distance``."""
        return _FILES[type(self.stage)][0]

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.kind}: {', '.join(self.stage.arms)}"

    @property
    def identity(self) -> str:
        """The hash of everything that the answer depends on."""
        return hashlib.sha256(json.dumps(self.plain(), sort_keys=True).encode()).hexdigest()[:16]

    def plain(self) -> dict[str, Any]:
        """Return the stage and the identities of its runs, as JSON has them."""
        runs = {label: [cell.identity for cell in cells] for label, cells in self.cells.items()}
        return {"kind": self.kind, "stage": to_plain(self.stage, AXES), "runs": runs}

    def answered(self, store: Store) -> bool:
        """Return whether the answer lies in the store."""
        return (store.directory(self.identity) / _FILES[type(self.stage)][1]).is_file()


def perform_stage(task: StageTask, directory: Path, device: str) -> CellResult:
    """Answer a stage in its directory of the store in which its runs lie; of the result only the seconds count."""
    began = time.perf_counter()
    runs = {label: [directory.parent / cell.identity / "run" for cell in cells] for label, cells in task.cells.items()}
    stage, first = task.stage, next(iter(task.cells.values()))[0]
    if isinstance(stage, DistanceStage):
        seeds = tuple(cell.recipe.seed for cell in task.cells[stage.standard])
        measure_distances(runs[stage.standard], runs[stage.adversarial], stage.arms, seeds, directory)
    else:
        where = str(find_device(device))
        transfer(
            {label: load(paths[0], device=where, trust=True) for label, paths in runs.items()},
            load_pair(first.recipe)[1],
            look_up(THREATS, stage.norm, "norm")(stage.epsilon),
            attack=stage.attack,
            images=stage.images,
            seed=stage.seed,
            output=directory,
        )
    return CellResult(0, 0, 0, 0, 0, 0, time.perf_counter() - began)


def stage_tasks(study: Study, arms: Sequence[Arm], store: Store) -> tuple[StageTask, ...]:
    """Return every stage whose runs are all there, and that is neither answered yet nor failed."""
    return tuple(
        task
        for task in _tasks(study, arms, store)
        if not (task.missing or task.answered(store) or store.failure(task.identity) is not None)
    )


def failed_stages(study: Study, arms: Sequence[Arm], store: Store) -> tuple[str, ...]:
    """Return the identities of the stages that failed."""
    return tuple(t.identity for t in _tasks(study, arms, store) if store.failure(t.identity) is not None)


def stage_records(study: Study, arms: Sequence[Arm], store: Store) -> tuple[StageRecord, ...]:
    """Return what the store knows of every stage."""
    return tuple(_record(task, store) for task in _tasks(study, arms, store))


def _record(task: StageTask, store: Store) -> StageRecord:
    failure = store.failure(task.identity)
    why = task.missing or (failure.reason if failure is not None else "not done")
    return StageRecord(task.kind, task.stage.grid, task.identity, "" if task.answered(store) else why)


def _tasks(study: Study, arms: Sequence[Arm], store: Store) -> Iterator[StageTask]:
    stages: tuple[_Stage, ...] = (*study.transfers, *study.distances)
    for stage in stages:
        named = {arm.label: arm for arm in arms if arm.grid == stage.grid and arm.label in stage.arms}
        cells = {label: _runs(named[label], store) for label in stage.arms}
        if isinstance(stage, TransferStage):
            cells = {label: runs[:1] for label, runs in cells.items()}
        lacking = [label for label, runs in cells.items() if not runs or any(map(_unusable(store), runs))]
        yield StageTask(stage, cells, f"there is no run of {', '.join(lacking)}" if lacking else "")


def _runs(arm: Arm, store: Store) -> tuple[Cell, ...]:
    chosen = choose(arm, trial_records(arm, store))
    return () if chosen is None else arm.runs(chosen)


def _unusable(store: Store) -> Callable[[Cell], bool]:
    def unusable(cell: Cell) -> bool:
        result = store.result(cell.identity)
        return result is None or bool(result.diverged)

    return unusable
