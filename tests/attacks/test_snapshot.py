import dataclasses
import time

import pytest
import torch
from safetensors.torch import save_file

import robustpeft.attacks.snapshot as module
from robustpeft.attacks import State
from robustpeft.attacks.jobs import Job
from robustpeft.attacks.snapshot import Snapshots


@dataclasses.dataclass(frozen=True, kw_only=True)
class Walk(State):
    points: torch.Tensor


def state(*numbers):
    values = torch.tensor(numbers)
    return Walk(step=values.long(), points=values[:, None] * torch.ones(3))


def job(image, run=0, number=None):
    kept = None if number is None else state(float(number))
    return Job(torch.zeros(3, 2, 2), 0, image, torch.tensor([1.0, 0]), run, 4, 5, 4, 0.5, -0.25, kept)


@pytest.fixture
def snapshots(tmp_path):
    return Snapshots(tmp_path / "slots.safetensors", 1.0, "work")


@pytest.fixture
def again(tmp_path):
    found = Snapshots(tmp_path / "slots.safetensors", 1.0, "work")
    return lambda stage="s": (found.load(stage, lambda: state(0.0)), found)[1]


def bare(image, run=0):
    return Job(torch.zeros(3, 2, 2), 0, image, torch.tensor([1.0, 0]), run)


def test_jobs_come_back_as_they_were_once(snapshots, again):
    snapshots.save_if_due("s", lambda: [job(1, 0, 3), job(2, 1, 8)])
    found = again()
    for image, run, number in ((2, 1, 8.0), (1, 0, 3.0)):
        restored = found.restored(bare(image, run))
        assert (restored.passes, restored.forwards, restored.backwards) == (4, 5, 4)
        assert (restored.seconds, restored.best) == (0.5, -0.25)
        assert torch.equal(restored.state.points, torch.full((1, 3), number))
        assert restored.state.step.tolist() == [number]
        assert found.restored(bare(image, run)).state is None
    assert found.restored(bare(2, 0)).passes == 0


def test_what_has_not_been_asked_for_yet_is_saved_again(snapshots, again):
    snapshots.save_if_due("s", lambda: [job(1, 0, 3), job(2, 1, 8)])
    found = again()
    found.restored(bare(1))
    found.save_if_due("s", lambda: [job(1, 0, 4)])
    later = again()
    assert later.restored(bare(1)).state.step.tolist() == [4]
    assert later.restored(bare(2, 1)).state.step.tolist() == [8]


def test_jobs_without_a_state_are_nothing_to_save(snapshots, again):
    snapshots.save_if_due("s", lambda: [job(1)])
    assert again().restored(bare(1)).passes == 0


@pytest.mark.parametrize(("stage", "work"), [("t", "work"), ("s", "other")])
def test_a_snapshot_of_other_work_is_as_good_as_none(snapshots, tmp_path, stage, work, caplog):
    snapshots.save_if_due("s", lambda: [job(1, 0, 3)])
    other = Snapshots(tmp_path / "slots.safetensors", 1.0, work)
    other.load(stage, lambda: state(0.0))
    assert other.restored(bare(1)).state is None
    assert caplog.text == ""


@pytest.mark.parametrize("damage", [*range(0, 400, 37), -1, "cut", "no header", "foreign"])
def test_damage_is_said_and_nothing_of_it_is_used(snapshots, again, tmp_path, damage, caplog):
    snapshots.save_if_due("s", lambda: [job(1, 0, 3), job(2, 1, 8)])
    path = tmp_path / "slots.safetensors"
    data = bytearray(path.read_bytes())
    if isinstance(damage, int):
        data[damage] ^= 1
        path.write_bytes(data)
    elif damage == "cut":
        path.write_bytes(data[:-1])
    else:
        save_file({"x": torch.ones(1)}, path, metadata={"said": "[]"} if damage == "foreign" else None)
    found = again()
    if "is not readable" not in caplog.text:  # the bit said of which work it is, or a space
        assert isinstance(damage, int)
    for image, run, number in ((1, 0, 3), (2, 1, 8)):
        restored = found.restored(bare(image, run)).state
        assert restored is None or restored.step.tolist() == [number]


def test_a_full_disk_is_said_and_the_last_one_stays(snapshots, again, tmp_path, monkeypatch, caplog):
    snapshots.save_if_due("s", lambda: [job(1, 0, 3)])

    def save(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", save)
    snapshots.save_if_due("s", lambda: [job(1, 0, 9)])
    assert "cannot be written" in caplog.text
    assert "No space left" in caplog.text
    assert again().restored(bare(1)).state.step.tolist() == [3]
    assert [path.name for path in tmp_path.iterdir()] == ["slots.safetensors"]


def test_saving_takes_no_more_than_its_share_of_the_time(tmp_path, monkeypatch):
    now, saved = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def unfinished():
        saved.append(now[0])
        now[0] += 2.0
        return []

    snapshots = Snapshots(tmp_path / "slots.safetensors", 0.1, "work")
    for _ in range(50):
        snapshots.save_if_due("s", unfinished)
        now[0] += 1.0
    assert saved == [0.0, 20.0, 40.0]


def test_it_can_be_deleted_also_if_it_is_not_there(snapshots, tmp_path):
    snapshots.save_if_due("s", lambda: [job(1, 0, 3)])
    snapshots.delete()
    snapshots.delete()
    assert list(tmp_path.iterdir()) == []
