import dataclasses

from robustpeft.attacks import FGSM
from robustpeft.auditing import AuditPlan
from robustpeft.study.grid import CellResult, Store, arms_of, estimate


def test_parameters_counts_and_time_are_told_and_what_is_done_costs_nothing(study, tmp_path):
    plan = AuditPlan(epsilons=(0.05, 0.1), attacks=(FGSM(),), perturbations=(), images=20)
    quick = {"training.epochs": 2, "training.train_images": 64, "training.selection_images": 20}
    one = dataclasses.replace(study, axes={"method": ({"name": "lora", "r": 2},)}, set=quick, audit=plan)
    store = Store(tmp_path)
    store.finish(arms_of(one)[0].trials()[0][1].identity, CellResult(1, 1, 1, 1, 1, 1, 1.0))
    (found,) = estimate(one, store, device="cpu", steps=1)
    assert (found.trials, found.runs, found.trained) == (2, 3, 2698)
    assert found.disk_bytes == 3 * 4 * 2698
    assert found.peak_bytes > 4 * 2698
    assert found.tune_seconds > 0 < found.audit_seconds
    assert found.seconds == 5 * found.tune_seconds + 3 * found.audit_seconds
    assert [path.name for path in tmp_path.iterdir()] == [arms_of(one)[0].trials()[0][1].identity]
