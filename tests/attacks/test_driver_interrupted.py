"""A search that was broken off goes on to the same end, and what does not belong together is not mixed."""

import dataclasses

import pytest
import torch

from robustpeft.attacks import FAB, FGSM, PGD, AttackPlan, Driver, HardLabel
from robustpeft.errors import UserError
from robustpeft.records import read_ledger, read_parquet
from robustpeft.types import L2, Linf

PLAN = AttackPlan((FGSM(), PGD(steps=6, restarts=2, momentum=0.5)), (Linf(0.003), Linf(0.006), L2(0.02)), seed=3)
ONE = AttackPlan((PGD(steps=8, restarts=2),), (Linf(0.003),))


# Nothing is lost.


@pytest.mark.parametrize("share", [1.0, 1e-9], ids=["saved after every pass", "hardly ever saved"])
def test_a_run_that_is_stopped_at_any_pass_and_resumed_ends_the_same(
    curved, split_of, tmp_path, share, killed, rows_of, kept
):
    model = curved()
    split = split_of(model)
    whole = Driver(slots=4, directory=tmp_path, snapshot_share=share).run(model, split, ONE)
    passes, rows = len(model.widths), rows_of(whole)
    for stop in range(0, passes, 3 if share == 1 else 5):
        model.widths, model.stop_at = [], stop
        driver = Driver(slots=4, directory=tmp_path / f"{stop}", snapshot_share=share)
        with pytest.raises(killed):
            driver.run(model, split, ONE)
        model.stop_at = None
        driver.run(model, split, ONE)
        assert kept(tmp_path / f"{stop}") == rows
        if share == 1:  # 1 batch to recognise the model by, and 1 pass, which was not finished, again
            assert len(model.widths) <= passes + 1 + (stop >= 1)
    assert passes > 20


SEARCHES = [PGD(steps=2, restarts=2, loss="targeted_margin"), FAB(steps=2), HardLabel(queries=20, probes=4)]


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_whatever_a_search_remembers_is_saved_with_it(curved, split_of, tmp_path, search, killed, rows_of, kept):
    model = curved()
    split = split_of(model, images=5, wrong=0)
    plan = AttackPlan((search,), (L2(0.004),))
    rows = rows_of(Driver(slots=2).run(model, split, plan))
    passes = len(model.widths)
    for stop in (passes // 3, 2 * passes // 3):
        model.widths, model.stop_at = [], stop
        driver = Driver(slots=2, directory=tmp_path / f"{stop}", snapshot_share=1.0)
        with pytest.raises(killed):
            driver.run(model, split, plan)
        model.stop_at = None
        driver.run(model, split, plan)
        assert kept(tmp_path / f"{stop}") == rows
        assert len(model.widths) <= passes + 2


def test_a_run_that_is_stopped_again_and_again_loses_nothing_and_repeats_one_pass_each_time(
    model, split, tmp_path, killed, rows_of, kept
):
    driver = Driver(slots=4, directory=tmp_path, snapshot_share=1.0)
    whole = dataclasses.replace(driver, directory=tmp_path / "whole").run(model, split, ONE)
    passes, total, calls = len(model.widths), 0, 0
    while True:
        model.widths, model.stop_at = [], 5
        calls += 1
        try:
            driver.run(model, split, ONE)
        except killed:
            total += len(model.widths)
            assert calls < 30
        else:
            break
    assert kept(tmp_path) == rows_of(whole)
    assert calls > 5
    assert total + len(model.widths) <= passes + 2 * calls


@pytest.mark.parametrize("calls", [0, 1, 5, 11, 20])
def test_an_observer_that_raises_loses_nothing(model, split, tmp_path, calls, rows_of, kept):
    whole, left = rows_of(Driver(slots=4).run(model, split, PLAN)), [0] * calls

    def observer(progress):
        if not left:
            raise ZeroDivisionError
        left.pop()

    with pytest.raises(ZeroDivisionError):
        Driver(slots=4, directory=tmp_path, observer=observer).run(model, split, PLAN)
    Driver(slots=4, directory=tmp_path).run(model, split, PLAN)
    assert kept(tmp_path) == whole


def test_what_was_restored_but_not_seated_yet_is_saved_again(curved, split_of, tmp_path, killed):
    model = curved()
    split = split_of(model, images=9, wrong=0)
    plan = AttackPlan((PGD(steps=30),), (Linf(1e-5),))  # nothing breaks
    driver = Driver(slots=3, directory=tmp_path, snapshot_share=1.0)
    model.stop_at = 3 + 20
    with pytest.raises(killed):
        driver.run(model, split, plan)
    # With one slot, the second and third image wait while the first is under way.
    for segment in tmp_path.glob("segment*"):
        _rewrite_slots(segment)
    for snapshot in tmp_path.glob("slots*"):
        _rewrite_work(snapshot, tmp_path)
    driver = dataclasses.replace(driver, slots=1)
    model.widths, model.stop_at = [], 1 + 5
    with pytest.raises(killed):
        driver.run(model, split, plan)
    model.widths, model.stop_at = [], None
    findings = driver.run(model, split, plan)
    assert len(model.widths) == 1 + (31 - 25) + 2 * (31 - 20) + 6 * 31
    assert all(row.forwards == 31 for row in findings.rows.values() if row.stage != "clean")


def _rewrite_slots(segment):
    import json
    import zlib

    lines = segment.read_bytes().split(b"\n")
    header = json.loads(lines[0].rpartition(b"\t")[0])
    text = json.dumps(header | {"slots": 1}, separators=(",", ":")).encode()
    lines[0] = text + f"\t{zlib.crc32(text):08x}".encode()
    segment.write_bytes(b"\n".join(lines))


def _rewrite_work(snapshot, directory):
    import hashlib
    import json

    from safetensors import safe_open
    from safetensors.torch import save_file

    from robustpeft.attacks.snapshot import _checksum

    header = {k: v for k, v in read_ledger(directory)[0].items() if k != "format"}
    with safe_open(snapshot, framework="pt") as file:
        said, before = json.loads(file.metadata()["said"]), file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    said["work"] = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
    text = json.dumps(said)
    assert before["checksum"] == _checksum(tensors, before["said"])
    save_file(tensors, snapshot, metadata={"said": text, "checksum": _checksum(tensors, text)})


@pytest.mark.parametrize("damage", ["missing", "truncated", "changed", "empty", "stale", "of other work"])
def test_a_snapshot_that_is_no_good_changes_nothing_but_the_time(
    model, split, tmp_path, damage, caplog, killed, rows_of, kept
):
    whole = rows_of(Driver(slots=4).run(model, split, ONE))
    driver = Driver(slots=4, directory=tmp_path, snapshot_share=1.0)
    model.widths, model.stop_at = [], 9
    with pytest.raises(killed):
        driver.run(model, split, ONE)
    (snapshot,) = tmp_path.glob("slots-0-of-1.safetensors")
    saved = snapshot.read_bytes()
    if damage == "missing":
        snapshot.unlink()
    elif damage == "stale":
        model.widths, model.stop_at = [], 16
        with pytest.raises(killed):
            driver.run(model, split, ONE)
        snapshot.write_bytes(saved)
    elif damage == "of other work":
        (tmp_path / "segment-0-of-1.jsonl").unlink()
        model.stop_at = None
        whole = rows_of(Driver(slots=4).run(model, split, dataclasses.replace(ONE, seed=1)))
    else:
        changed = bytearray(saved)
        changed[-5] ^= 1
        snapshot.write_bytes({"truncated": saved[: len(saved) // 2], "changed": bytes(changed), "empty": b""}[damage])
    model.stop_at = None
    driver.run(model, split, ONE if damage != "of other work" else dataclasses.replace(ONE, seed=1))
    assert kept(tmp_path) == whole
    assert ("is not readable" in caplog.text) == (damage in ("truncated", "changed", "empty"))
    assert not snapshot.exists()


def test_a_finished_run_asks_the_model_once_more_and_attacks_nothing(model, split, tmp_path):
    one = Driver(slots=4, directory=tmp_path).run(model, split, PLAN)
    model.widths = []
    again = Driver(slots=4, directory=tmp_path).run(model, split, PLAN)
    assert again.rows == one.rows
    assert len(model.widths) == 1
    assert read_parquet(tmp_path / "ledger.parquet") == read_ledger(tmp_path)


# What does not belong together is not mixed.


def _other_weights(model):
    model.outer.data[0, 0] += 1e-3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"plan": dataclasses.replace(ONE, seed=1)}, "other work: its plan"),
        ({"plan": AttackPlan(ONE.attacks, (Linf(0.003 + 1e-9),))}, "other work: its plan"),
        ({"plan": AttackPlan(ONE.attacks, (L2(0.003),))}, "other work: its plan"),
        ({"slots": 5}, "other work: its slots is 4, now it is 5"),
        ({"labels": 1}, "other work: its data"),
        ({"ids": 1}, "other work: its data"),
        ({"pixels": 1e-3}, "image 1000 has other pixels"),
        ({"weights": True}, "other work: its model"),
        ({"attribute": True}, "the model answers otherwise"),
        ({"shard": (0, 2)}, "begun with 1 processes"),
    ],
    ids=str,
)
def test_other_work_in_the_same_directory_is_refused(model, split, tmp_path, change, sentence):
    Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    before = (tmp_path / "segment-0-of-1.jsonl").read_bytes()
    split.labels[0] = (split.labels[0] + change.get("labels", 0)) % 4
    split.ids[0] += change.get("ids", 0)
    split.images[0, 0, 0, 0] = (split.images[0, 0, 0, 0] + change.get("pixels", 0)) % 1
    if "weights" in change:
        _other_weights(model)
    if "attribute" in change:
        model.damage = lambda number, logits: logits.flip(1)
    driver = Driver(slots=change.get("slots", 4), directory=tmp_path, shard=change.get("shard", (0, 1)))
    with pytest.raises(UserError, match=sentence):
        driver.run(model, split, change.get("plan", ONE))
    assert (tmp_path / "segment-0-of-1.jsonl").read_bytes() == before


def test_pixels_that_changed_before_an_image_was_attacked_are_noticed(curved, split_of, tmp_path, killed):
    model = curved()
    split = split_of(model)
    model.stop_at = 4  # the clean images, all of them
    with pytest.raises(killed):
        Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    model.stop_at = None
    split.images[9] = 1 - split.images[9]
    with pytest.raises(UserError, match=f"image {int(split.ids[9])} has other pixels"):
        Driver(slots=4, directory=tmp_path).run(model, split, ONE)


def test_a_model_that_answers_at_random_is_not_taken_for_another(model, split, tmp_path):
    model.damage = lambda number, logits: logits + torch.randn(4)
    Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    Driver(slots=4, directory=tmp_path).run(model, split, ONE)
