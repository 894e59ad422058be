"""What do several runs say together? Stages after the runs: transfer matrices, and distances between parameters.

An answer lies in the store under the hash of everything that it depends on, the runs included, so it is found once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from robustpeft.errors import UserError
from robustpeft.records import StageRecord
from robustpeft.records.distance_record import DISTANCE_FILE
from robustpeft.records.transfer_record import TRANSFER_FILE
from robustpeft.study.axes import AXES
from robustpeft.study.device import find_device
from robustpeft.study.distances import measure_distances
from robustpeft.study.grid.cells import Arm, Cell
from robustpeft.study.grid.perform import Event
from robustpeft.study.grid.selection import choose, trial_records
from robustpeft.study.grid.stage_file import DistanceStage, TransferStage
from robustpeft.study.grid.store import Failure, Store
from robustpeft.study.grid.study_file import Study
from robustpeft.study.run_directory import load
from robustpeft.study.transfer import transfer
from robustpeft.study.tune import load_pair
from robustpeft.types import THREATS, look_up, to_plain

__all__ = ["run_stages", "stage_records"]

_POLL = 1.0  # seconds between looks at a stage that another process is working on
_Stage = TransferStage | DistanceStage
_FILES: Mapping[type, tuple[str, str]] = {
    TransferStage: ("transfer", TRANSFER_FILE),
    DistanceStage: ("distance", DISTANCE_FILE),
}


@dataclass(frozen=True)
class _Ready:
    """A stage whose runs are known.

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
        return _FILES[type(self.stage)][0]

    @property
    def title(self) -> str:
        return f"{self.kind}: {', '.join(self.stage.arms)}"

    @property
    def identity(self) -> str:
        runs = {label: [cell.identity for cell in cells] for label, cells in self.cells.items()}
        plain = {"kind": self.kind, "stage": to_plain(self.stage, AXES), "runs": runs}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]

    def answered(self, store: Store) -> bool:
        return (store.directory(self.identity) / _FILES[type(self.stage)][1]).is_file()

    def answer(self, store: Store, device: str) -> None:
        runs = {
            label: [store.directory(cell.identity) / "run" for cell in cells] for label, cells in self.cells.items()
        }
        here, first = store.directory(self.identity), next(iter(self.cells.values()))[0]
        if isinstance(self.stage, DistanceStage):
            seeds = tuple(cell.recipe.seed for cell in self.cells[self.stage.standard])
            measure_distances(runs[self.stage.standard], runs[self.stage.adversarial], self.stage.arms, seeds, here)
            return
        where = str(find_device(device))
        transfer(
            {label: load(paths[0], device=where, trust=True) for label, paths in runs.items()},
            load_pair(first.recipe)[1],
            look_up(THREATS, self.stage.norm, "norm")(self.stage.epsilon),
            attack=self.stage.attack,
            images=self.stage.images,
            seed=self.stage.seed,
            output=here,
        )


def run_stages(study: Study, arms: Sequence[Arm], store: Store, device: str, observer: Callable[[Event], None]) -> None:
    """Answer every stage whose runs are all there and that is not answered yet; an error ends in the store."""
    for ready in _ready(study, arms, store):
        if ready.missing or ready.answered(store) or store.failure(ready.identity) is not None:
            continue
        observer(Event(ready.identity, "started", title=ready.title))
        observer(_answer(ready, store, device))


def stage_records(study: Study, arms: Sequence[Arm], store: Store) -> tuple[StageRecord, ...]:
    """Return what the store knows of every stage."""
    return tuple(_record(ready, store) for ready in _ready(study, arms, store))


def _answer(ready: _Ready, store: Store, device: str) -> Event:
    while True:
        with store.claim(ready.identity) as mine:
            if mine:
                try:
                    if not ready.answered(store):
                        ready.answer(store, device)
                except UserError as error:
                    store.fail(ready.identity, Failure(str(error)))
                    return Event(ready.identity, "failed", str(error), ready.title)
                return Event(ready.identity, "done", title=ready.title)
        time.sleep(_POLL)


def _record(ready: _Ready, store: Store) -> StageRecord:
    failure = store.failure(ready.identity)
    why = ready.missing or (failure.reason if failure is not None else "not done")
    return StageRecord(ready.kind, ready.stage.grid, ready.identity, "" if ready.answered(store) else why)


def _ready(study: Study, arms: Sequence[Arm], store: Store) -> Iterator[_Ready]:
    stages: tuple[_Stage, ...] = (*study.transfers, *study.distances)
    for stage in stages:
        named = {arm.label: arm for arm in arms if arm.grid == stage.grid and arm.label in stage.arms}
        cells = {label: _runs(named[label], store) for label in stage.arms}
        if isinstance(stage, TransferStage):
            cells = {label: runs[:1] for label, runs in cells.items()}
        lacking = [label for label, runs in cells.items() if not runs or any(map(_unusable(store), runs))]
        yield _Ready(stage, cells, f"there is no run of {', '.join(lacking)}" if lacking else "")


def _runs(arm: Arm, store: Store) -> tuple[Cell, ...]:
    chosen = choose(arm, trial_records(arm, store))
    return () if chosen is None else arm.runs(chosen)


def _unusable(store: Store) -> Callable[[Cell], bool]:
    def unusable(cell: Cell) -> bool:
        result = store.result(cell.identity)
        return result is None or bool(result.diverged)

    return unusable
