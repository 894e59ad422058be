"""What would a study cost? One cell of every arm is opened and a few of its steps are measured."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from robustpeft.auditing import AuditPlan
from robustpeft.backbones import ImageClassifier
from robustpeft.data import ImageData
from robustpeft.study.experiment import attach
from robustpeft.study.grid.cells import Arm, arms_of, refuse_blanks
from robustpeft.study.grid.store import Store
from robustpeft.study.grid.study_file import Study
from robustpeft.study.offline import estimating
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
        runs: Of what will be chosen.
        trained: Trained parameters, head included.
        tune_seconds: One run.
        audit_seconds: One audit: one batch under each attack at the largest epsilon, extrapolated.
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
        For every arm `steps` + 1 steps of tuning, a batch of validation, and one batch under every attack.
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
        judged = _audit_seconds(model, images, arm.audit)
    finally:
        handle.detach()
    adapter = 4 * cost.trained
    return ArmEstimate(
        arm.grid,
        arm.label,
        sum(store.state(cell.identity) != "done" for _, cell in arm.trials()),
        len(arm.seeds),
        cost.trained,
        cost.seconds,
        judged,
        len(arm.seeds) * adapter,
        cost.disk_bytes,
    )


def _audit_seconds(model: ImageClassifier, images: ImageData, plan: AuditPlan) -> float:
    test = images.test if plan.images is None else images.test.take(plan.images, 0)
    if not len(test):
        return 0.0
    device = next(model.parameters()).device
    batch = next(iter(test.batches(plan.batch_size, device=device)))
    per_batch = _clock(lambda: model(batch.images)) * (1 + len(plan.perturbations_for(images.image_size)))
    for attack, radii in (*((a, len(plan.epsilons)) for a in plan.attacks), *((a, 1) for a in plan.widest)):
        threat = plan.threats[-1]
        once = _clock(lambda: attack(model, batch.images, batch.labels, threat, seed=0, ids=batch.ids))  # noqa: B023
        per_batch += once * radii
    return per_batch * len(test) / len(batch.labels)


def _clock(call: object) -> float:
    assert callable(call)
    started = time.perf_counter()
    with torch.no_grad():
        call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started
