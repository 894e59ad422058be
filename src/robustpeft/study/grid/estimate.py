"""What would a study cost? One cell of every arm is opened and a few of its steps are measured."""

from __future__ import annotations

from dataclasses import dataclass

from robustpeft.study.experiment import attach
from robustpeft.study.grid.cells import Arm, arms_of, refuse_blanks
from robustpeft.study.grid.selection import choose, trial_records
from robustpeft.study.grid.store import Store
from robustpeft.study.grid.study_file import Study
from robustpeft.study.offline import estimating
from robustpeft.study.profiles import estimate as how_long
from robustpeft.study.tune import open_recipe
from robustpeft.training import measure_cost

__all__ = ["ArmEstimate", "estimate"]


@dataclass(frozen=True)
class ArmEstimate:
    """What an arm would cost, on one worker.

    Args:
        grid: Name of its grid.
        label: Of the arm.
        trials: That are not in the store yet.
        runs: Of what will be chosen; once all trials are there, those that are not.
        trained: Trained parameters, head included.
        tune_seconds: One run.
        audit_seconds: One audit at the most: if no image broke. Every image that does makes it shorter.
        disk_bytes: That stay, of all runs together.
        peak_bytes: One experiment while it runs.
    """

    grid: str
    label: str
    trials: int
    runs: int
    trained: int
    tune_seconds: float
    audit_seconds: float
    disk_bytes: int
    peak_bytes: int

    @property
    def seconds(self) -> float:
        """All trials and all runs with their audits."""
        return (self.trials + self.runs) * self.tune_seconds + self.runs * self.audit_seconds


def estimate(study: Study, store: Store, *, device: str = "auto", steps: int = 2) -> tuple[ArmEstimate, ...]:
    """Return what every arm would cost; no experiment is made.

    Args:
        study: What would be done.
        store: What lies there costs nothing.
        device: Where it would run.
        steps: That are timed for every arm.

    Cost:
        For every arm `steps` + 1 steps of tuning, a batch of validation, and 4 forwards and backwards of a batch.
    """
    arms = arms_of(study)
    refuse_blanks(arms)
    return tuple(_estimate(arm, store, device, steps) for arm in arms)


def _estimate(arm: Arm, store: Store, device: str, steps: int) -> ArmEstimate:
    with estimating(arm.recipe) as here:
        model, images, asked = open_recipe(here, device)
    handle, task = attach(model, images, asked)
    try:
        cost = measure_cost(task, steps=steps)
        judged = (
            how_long(handle.model, images.test, arm.audit, len(images.classes)).seconds if len(images.test) else 0.0
        )
    finally:
        handle.detach()
    adapter = 4 * cost.trained
    return ArmEstimate(
        arm.grid,
        arm.label,
        sum(store.state(cell.identity) != "done" for _, cell in arm.trials()),
        _runs_left(arm, store),
        cost.trained,
        cost.seconds,
        judged,
        len(arm.seeds) * adapter,
        cost.disk_bytes,
    )


def _runs_left(arm: Arm, store: Store) -> int:
    """Return how many runs are not in the store; all of them as long as it is open what will be chosen."""
    trials = trial_records(arm, store)
    chosen = None if any(trial.failed == "not done" for trial in trials) else choose(arm, trials)
    return len(arm.seeds) if chosen is None else sum(store.state(c.identity) != "done" for c in arm.runs(chosen))
