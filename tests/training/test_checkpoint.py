import pytest
import torch

from robustpeft.errors import UserError
from robustpeft.training.checkpoint import Checkpoint, Counters, load_checkpoint, save_checkpoint


def checkpoint(step):
    return Checkpoint(
        Counters(epoch=1, step=step, best_robust=4, seconds=1.5, looks=((1, 0.5, 0.25),), plan="p"),
        {"weights:a.b": torch.full((2, 3), float(step)), "best:a.b": torch.zeros(2, 3)},
    )


def test_what_was_saved_comes_back(tmp_path):
    save_checkpoint(checkpoint(7), tmp_path)
    found = load_checkpoint(tmp_path)
    assert found.counters == checkpoint(7).counters
    assert torch.equal(found.of("weights")["a.b"], torch.full((2, 3), 7.0))
    assert found.of("best").keys() == {"a.b"}
    assert found.of("optimizer") == {}


def test_nothing_there_is_no_checkpoint(tmp_path):
    assert load_checkpoint(tmp_path) is None


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog):
    save_checkpoint(checkpoint(7), tmp_path)
    save_checkpoint(checkpoint(8), tmp_path)
    assert load_checkpoint(tmp_path).counters.step == 8
    last = tmp_path / "last.safetensors"
    last.write_bytes(last.read_bytes()[:50])
    assert load_checkpoint(tmp_path).counters.step == 7
    assert "damaged" in caplog.text


def test_when_every_checkpoint_is_damaged_both_are_named(tmp_path):
    save_checkpoint(checkpoint(7), tmp_path)
    save_checkpoint(checkpoint(8), tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(b"not safetensors")
    with pytest.raises(UserError, match=r"last\.safetensors.*before_last\.safetensors"):
        load_checkpoint(tmp_path)


def test_no_temporary_file_stays(tmp_path):
    save_checkpoint(checkpoint(7), tmp_path)
    save_checkpoint(checkpoint(8), tmp_path)
    assert {f.name for f in tmp_path.iterdir()} == {"last.safetensors", "before_last.safetensors"}
