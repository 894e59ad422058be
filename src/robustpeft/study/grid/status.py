"""Where does a study stand? Counts per arm, reasons of failures, and the disk it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.study.grid.cells import Arm, Cell, arms_of
from robustpeft.study.grid.selection import choose, trial_records
from robustpeft.study.grid.stages import failed_stages
from robustpeft.study.grid.store import Store
from robustpeft.study.grid.study_file import Study

__all__ = ["ArmStatus", "clean", "forgive", "status"]


@dataclass(frozen=True)
class ArmStatus:
    """How far an arm is.

    Args:
        grid: Name of its grid.
        label: Of the arm.
        trials: How many trials are in which state.
        runs: How many runs are in which state; before the choice all of them wait.
        reasons: The first line of the reason of every failure.
        tracebacks: The files with the whole of them.
        disk_bytes: Of all its experiments.
    """

    grid: str
    label: str
    trials: Counter[str]
    runs: Counter[str]
    reasons: tuple[str, ...]
    disk_bytes: int
    tracebacks: tuple[str, ...] = ()


def status(study: Study, store: Store, arms: Sequence[Arm] | None = None) -> tuple[ArmStatus, ...]:
    """Return how far every arm of a study is.

    Args:
        study: Which.
        store: Of its experiments.
        arms: The study's, from whoever looks often and has made them already.
    """
    return tuple(_arm_status(arm, store) for arm in (arms_of(study) if arms is None else arms))


def forgive(study: Study, store: Store) -> int:
    """Let what failed be tried again, and return how many experiments that are."""
    arms = arms_of(study)
    return sum(store.forgive(identity) for identity in (*_known(study, store), *failed_stages(study, arms, store)))


def clean(study: Study, store: Store) -> int:
    """Delete what finished experiments need no more and what failed ones left, and return the bytes freed."""
    return sum(store.clean(identity) for identity in _known(study, store) if store.directory(identity).is_dir())


def _known(study: Study, store: Store) -> list[str]:
    """Return the identities of all trials, and of the runs of what was chosen from them."""
    return list(dict.fromkeys(cell.identity for arm in arms_of(study) for cell in _cells(arm, store)))


def _cells(arm: Arm, store: Store) -> list[Cell]:
    return [cell for _, cell in arm.trials()] + list(_runs(arm, store))


def _runs(arm: Arm, store: Store) -> tuple[Cell, ...]:
    trials = arm.trials()
    if any(store.state(cell.identity) in ("waiting", "running") for _, cell in trials):
        return ()  # nothing is chosen yet
    chosen = choose(arm, trial_records(arm, store))
    return () if chosen is None else arm.runs(chosen)


def _arm_status(arm: Arm, store: Store) -> ArmStatus:
    trials, runs = [cell.identity for _, cell in arm.trials()], [cell.identity for cell in _runs(arm, store)]
    failures = {i: failure for i in (*trials, *runs) if (failure := store.failure(i)) is not None}
    counted = Counter[str](store.state(identity) for identity in runs)
    counted["waiting"] += len(arm.seeds) - len(runs)
    return ArmStatus(
        arm.grid,
        arm.label,
        Counter(store.state(identity) for identity in trials),
        counted,
        tuple(dict.fromkeys(failure.reason for failure in failures.values())),
        sum(store.bytes_of(identity) for identity in (*trials, *runs)),
        tuple(str(store.traceback_of(identity)) for identity, failure in failures.items() if failure.details),
    )
