import pytest

from robustpeft.attacks import FGSM
from robustpeft.auditing import AuditPlan
from robustpeft.records import read_record
from robustpeft.study.grid import (
    Event,
    Job,
    Store,
    arms_of,
    perform as perform_module,
    perform_cell,
    work,
)
from robustpeft.study.grid.study_file import Study
from robustpeft.training import NotFiniteError, Scores

QUICK = {
    "training.epochs": 1,
    "training.batch_size": 100,
    "training.train_images": 50,
    "training.validations": 1,
    "training.selection_images": 20,
    "training.selection_attack.steps": 1,
    "method.r": 1,
}


@pytest.fixture(scope="module")
def arm():
    select = {"training.learning_rate": (0.01, 0.02)}
    plan = AuditPlan(epsilons=(0.1,), attacks=(FGSM(),), perturbations=(), images=20, gallery=0)
    study = Study("q", "fulllora-digits", set=QUICK, axes={"threat.epsilon": (0.1,)}, select=select, audit=plan)
    return arms_of(study)[0]


def test_a_run_is_audited_and_its_checkpoints_go(arm, tmp_path):
    store, cell = Store(tmp_path), arm.runs({})[0]
    assert work(Job(cell, tmp_path, "cpu", perform_cell)) == Event(cell.identity, "done", title=cell.title)
    result, directory = store.result(cell.identity), store.directory(cell.identity)
    record = read_record(directory)
    assert (record.data.n, record.data.split) == (20, "test")
    assert (result.num_trained, result.num_parameters) == (record.subject.num_trained, record.subject.num_parameters)
    assert (result.num_trained_head, result.adapter_bytes) == (650, record.subject.adapter_bytes)
    assert result.validation_n == 20
    assert result.seconds > 0 < result.audit_seconds
    assert not (directory / "run" / "checkpoints").exists()
    assert not (directory / "ledger").exists()


def test_a_trial_keeps_its_metrics_and_never_sees_the_test_images(arm, tmp_path):
    cell = arm.trials()[0][1]
    result = perform_cell(cell, tmp_path, "cpu")
    assert result.audit_seconds == 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".robustpeft", "metrics.jsonl", "recipe.yaml"]
    assert not (tmp_path / "audit.json").exists()


def test_what_was_broken_off_goes_on_to_the_same_result(arm, tmp_path, monkeypatch):
    cell = arm.runs({})[1]
    whole = perform_cell(cell, tmp_path / "whole", "cpu")

    def break_off(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(perform_module, "audit", break_off)
        with pytest.raises(KeyboardInterrupt):
            work(Job(cell, tmp_path / "store", "cpu", perform_cell))
    store = Store(tmp_path / "store")
    assert store.state(cell.identity) == "waiting"
    work(Job(cell, tmp_path / "store", "cpu", perform_cell))
    result = store.result(cell.identity)
    assert (result.validation_clean, result.validation_robust) == (whole.validation_clean, whole.validation_robust)
    assert read_record(store.directory(cell.identity)).rows == read_record(tmp_path / "whole").rows


def test_a_loss_that_is_not_finite_is_a_result(arm, tmp_path, monkeypatch):
    def diverge(*_, **__):
        raise NotFiniteError("the loss is nan\nat step 3")

    monkeypatch.setattr(perform_module, "tune_recipe", diverge)
    assert perform_cell(arm.trials()[0][1], tmp_path, "cpu").diverged == "the loss is nan"


def test_work_is_not_done_twice_and_errors_end_in_the_store(study, tmp_path, perform):
    store, cell = Store(tmp_path), arms_of(study)[0].trials()[0][1]

    def fail(*_):
        raise ValueError

    with store.claim(cell.identity):
        assert work(Job(cell, tmp_path, "cpu", perform)).kind == "busy"
    first = work(Job(cell, tmp_path, "cpu", fail))
    assert (first.kind, first.reason, first.title) == ("failed", "ValueError", cell.title)
    assert "Traceback" in store.failure(cell.identity).details
    assert work(Job(cell, tmp_path, "cpu", perform)).kind == "failed"
    store.forgive(cell.identity)
    assert work(Job(cell, tmp_path, "cpu", perform)).kind == "done"
    assert work(Job(cell, tmp_path, "cpu", fail)).kind == "done"
    assert store.failure(cell.identity) is None


def test_who_lost_a_claim_meanwhile_leaves_no_result(study, tmp_path, perform):
    store, cell = Store(tmp_path), arms_of(study)[0].trials()[0][1]

    def sleep_too_long(cell, directory, device):
        (directory / "claim-7").write_text("another machine's")
        return perform(cell, directory, device)

    assert work(Job(cell, tmp_path, "cpu", sleep_too_long)).kind == "busy"
    assert (store.result(cell.identity), store.failure(cell.identity)) == (None, None)


@pytest.mark.parametrize("alike", [True, False])
def test_a_trial_that_answers_one_class_alone_is_marked(arm, tmp_path, monkeypatch, alike):
    monkeypatch.setattr(Scores, "collapsed", alike)
    assert perform_cell(arm.trials()[0][1], tmp_path, "cpu").collapsed is alike
