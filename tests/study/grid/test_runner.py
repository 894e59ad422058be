import dataclasses
import time
import tracemalloc

import pytest

from robustpeft.records import read_study_record
from robustpeft.study.grid import Place, Store, Study, arms_of, run_study, summarise
from robustpeft.study.grid.runner import _run_all


def calls(place):
    return {file.parent.name: file.read_text().count("called") for file in place.store.glob("*/calls")}


@pytest.fixture
def place(tmp_path, perform):
    return Place(tmp_path / "study", tmp_path / "store", perform=perform)


def test_every_arm_is_tried_chosen_and_run_on_fresh_seeds(study, place):
    events = []
    record = run_study(study, place, events.append)
    assert [arm.label for arm in record.arms] == ["lora", "fulllora r=3"]
    for arm in record.arms:
        assert [trial.settings["training.learning_rate"] for trial in arm.trials] == [0.01, 0.02, 0.03]
        assert [trial.validation_robust for trial in arm.trials] == [40, 50, 40]
        assert (arm.chosen, arm.edges) == ({"training.learning_rate": 0.02}, ())
        assert [run.seed for run in arm.runs] == [1, 2, 3]
    assert len([event for event in events if event.kind == "done"]) == 2 * 3 + 2 * 3
    assert read_study_record(place.directory) == record


def test_only_runs_of_what_was_chosen_are_audited(study, place):
    arm = arms_of(study)[0]
    assert all(cell.audit is None and cell.recipe.seed == 0 for _, cell in arm.trials())
    assert all(cell.audit is not None for cell in arm.runs({"training.learning_rate": 0.02}))


def test_nothing_is_run_twice_also_by_another_study_in_the_same_store(study, place, tmp_path):
    run_study(study, place)
    once = calls(place)
    assert set(once.values()) == {1}
    wider = dataclasses.replace(study, name="other", axes={"method": ("lora", "full")})
    run_study(wider, dataclasses.replace(place, directory=tmp_path / "other"))
    again = calls(place)
    assert {name: again[name] for name in once} == once
    assert len(again) == len(once) + 6


def test_a_failure_stops_nothing_and_its_first_line_is_kept(study, place):
    failing = dataclasses.replace(study, axes={"training.epochs": (13, 2)}, select={}, seeds=(1, 2))
    record = run_study(failing, place)
    assert [run.failed for run in record.arms[0].runs] == ["thirteen epochs"] * 2
    assert [run.failed for run in record.arms[1].runs] == ["", ""]
    run_study(failing, place)
    assert set(calls(place).values()) == {1}  # a failed one waits until it is forgiven


def test_a_diverged_trial_is_on_record_and_never_chosen(study, place):
    wild = dataclasses.replace(study, select={"training.learning_rate": (1.0, 0.01)})
    arm = run_study(wild, place).arms[0]
    assert arm.trials[0].failed == "not finite"
    assert arm.chosen == {"training.learning_rate": 0.01}
    assert arm.edges == ("training.learning_rate",)


def test_a_run_that_diverged_is_told_from_one_that_is_not_done(study, place):
    given = dataclasses.replace(study, select={}, set={**study.set, "training.learning_rate": 1.0})
    assert {run.diverged for run in summarise(given, place).arms[0].runs} == {False}
    runs = run_study(given, place).arms[0].runs
    assert {(run.failed, run.diverged) for run in runs} == {("not finite", True)}


def test_an_arm_without_a_usable_trial_has_no_runs(study, place):
    hopeless = dataclasses.replace(study, select={"training.learning_rate": (1.0, 2.0)})
    arm = run_study(hopeless, place).arms[0]
    assert (arm.chosen, arm.runs) == (None, ())


def test_what_is_not_done_is_said_to_be_so(study, place):
    arm = summarise(dataclasses.replace(study, select={}), place).arms[0]
    assert [run.failed for run in arm.runs] == ["not done"] * 3


def test_an_experiment_that_another_process_works_on_is_waited_for(study, place, monkeypatch):
    store, cell = Store(place.store), arms_of(study)[0].trials()[0][1]
    holding = store.claim(cell.identity)
    holding.__enter__()
    monkeypatch.setattr(time, "sleep", lambda seconds: seconds == 1 and holding.__exit__(None, None, None))
    kinds = [event.kind for event in _run_all([cell], place)]
    assert kinds == ["started", "done"]


def test_three_hundred_experiments_cost_little_time_and_no_memory(study, place):
    many = Study("many", "fulllora-digits", axes={"training.epochs": tuple(range(20, 320))}, seeds=(1,))
    cells = [arm.runs({})[0] for arm in arms_of(many)]
    started = time.process_time()
    for _ in _run_all(cells[:250], place):
        pass
    per_experiment = (time.process_time() - started) / 250
    tracemalloc.start()
    for _ in _run_all(cells[250:], place):
        pass
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(calls(place)) == 300
    assert per_experiment < 0.05
    assert grown < 50 * 5_000
