import dataclasses

import pytest

from robustpeft.study.grid import Place, Store, arms_of, clean, forgive, run_study, status


@pytest.fixture
def place(tmp_path, perform):
    return Place(tmp_path / "study", tmp_path / "store", perform=perform)


def test_before_during_and_after(study, place):
    store = Store(place.store)
    before = status(study, store)[0]
    assert (dict(before.trials), before.runs["waiting"], before.disk_bytes) == ({"waiting": 3}, 3, 0)
    one = dataclasses.replace(study, seeds=(1,))
    run_study(one, place)
    half = status(study, store)[0]
    assert (half.trials["done"], half.runs["done"], half.runs["waiting"]) == (3, 1, 2)
    arm = arms_of(one)[0]
    cells = [cell for _, cell in arm.trials()] + list(arm.runs({"training.learning_rate": 0.02}))
    assert half.disk_bytes == sum(store.bytes_of(cell.identity) for cell in cells)
    run_study(study, place)
    assert status(study, store)[1].runs["done"] == 3


def test_failures_are_told_with_their_reasons_and_forgiven(study, place):
    failing = dataclasses.replace(study, axes={"training.epochs": (13, 2)}, select={})
    run_study(failing, place)
    store = Store(place.store)
    bad, good = status(failing, store)
    assert (bad.runs["failed"], bad.reasons, good.reasons) == (3, ("thirteen epochs",), ())
    assert forgive(failing, store) == 3
    assert status(failing, store)[0].runs["waiting"] == 3


def test_a_failed_trial_counts_and_does_not_hold_up_the_choice(study, place):
    mixed = dataclasses.replace(study, axes={"method": ("lora",)}, select={"training.epochs": (13, 2)})
    run_study(mixed, place)
    found = status(mixed, Store(place.store))[0]
    assert (found.trials["failed"], found.trials["done"], found.runs["done"]) == (1, 1, 3)


def test_cleaning_counts_the_bytes_of_all(study, place):
    store = Store(place.store)
    record = run_study(study, place)
    for identity in (record.arms[0].trials[0].identity, record.arms[0].runs[0].identity):
        (store.directory(identity) / "run" / "checkpoints").mkdir(parents=True)
        (store.directory(identity) / "run" / "checkpoints" / "a").write_text("12345")
    assert clean(study, store) == 10
    assert clean(study, store) == 0
