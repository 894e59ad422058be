import dataclasses

import pytest

from robustpeft.attacks import FGSM, PGD
from robustpeft.auditing import AuditPlan
from robustpeft.study import profiles
from robustpeft.study.grid import CellResult, Store, arms_of, estimate


def test_parameters_counts_and_time_are_told_and_what_is_done_costs_nothing(study, tmp_path):
    plan = AuditPlan(epsilons=(0.05, 0.1), attacks=(FGSM(),), perturbations=(), images=20)
    quick = {"training.epochs": 2, "training.train_images": 64, "training.selection_images": 20}
    one = dataclasses.replace(study, axes={"method": ({"name": "lora", "r": 2},)}, set=quick, audit=plan)
    store, (arm,) = Store(tmp_path), arms_of(one)
    store.finish(arm.trials()[0][1].identity, CellResult(1, 1, 1, 1, 1, 1, 1.0))
    (found,) = estimate(one, store, device="cpu", steps=1)
    assert (found.trials, found.runs, found.trained) == (2, 3, 2698)
    assert found.disk_bytes == 3 * 4 * 2698
    assert found.peak_bytes > 4 * 2698
    assert found.tune_seconds > 0 < found.audit_seconds
    assert found.seconds == 5 * found.tune_seconds + 3 * found.audit_seconds
    assert [path.name for path in tmp_path.iterdir()] == [arm.trials()[0][1].identity]


def test_once_all_trials_are_there_runs_that_are_done_cost_nothing(study, tmp_path):
    plan = AuditPlan(epsilons=(0.1,), attacks=(FGSM(),), perturbations=(), images=20)
    quick = {"training.epochs": 2, "training.train_images": 64, "training.selection_images": 20}
    one = dataclasses.replace(study, axes={"method": ({"name": "lora", "r": 2},)}, set=quick, audit=plan)
    store, (arm,) = Store(tmp_path), arms_of(one)
    for robust, (_, cell) in enumerate(arm.trials()):
        store.finish(cell.identity, CellResult(1, 1, 1, 9, 9, robust, 1.0))
    runs = arm.runs(arm.trials()[-1][0])
    store.finish(runs[0].identity, CellResult(1, 1, 1, 9, 9, 9, 1.0))
    (found,) = estimate(one, store, device="cpu", steps=1)
    assert (found.trials, found.runs) == (0, len(runs) - 1)


def test_an_audit_is_priced_as_if_no_image_broke(study, tmp_path, monkeypatch):
    monkeypatch.setattr(profiles, "_seconds_a_pass", lambda model, split: 0.01)
    parts = {"perturbations": (), "images": 20, "checks": "none", "transfer": False}
    plan = AuditPlan(epsilons=(0.1,), attacks=(PGD(steps=500),), **parts)
    quick = {"training.epochs": 2, "training.train_images": 64, "training.selection_images": 20}
    one = dataclasses.replace(study, axes={"method": ({"name": "lora", "r": 2},)}, set=quick, audit=plan)
    (found,) = estimate(one, Store(tmp_path), device="cpu", steps=1)
    each = 1 + 501 + 500  # the clean image; forwards and gradients of a search that never ends early
    assert found.audit_seconds == pytest.approx(0.01 * 20 * each)
