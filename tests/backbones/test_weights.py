import argparse
import logging
import os
import pathlib
import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from robustpeft.backbones.weights import fit_weights, read_weights
from robustpeft.types import UserError

SIZES = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2}
TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2)}


def build(classes=4, seed=0, **sizes):
    torch.manual_seed(seed)
    return timm.create_model("vit_tiny_patch16_224", num_classes=classes, **(SIZES | sizes))


class Attack:
    """A pickle that makes a file when it is executed."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.system, (f"touch {self.marker}",))


def same(found, wanted):
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


class TestRead:
    def test_safetensors(self, tmp_path):
        save_file(TENSORS, tmp_path / "w.safetensors")
        found = read_weights(tmp_path / "w.safetensors")
        assert same(found.tensors, TENSORS)
        assert (found.image_size, found.mean, found.std) == (None, None, None)

    @pytest.mark.parametrize("name", ["w.pth", "w.pth.tar", "w.pt", "w.bin", "w.ckpt"])
    @pytest.mark.parametrize("key", [None, "state_dict", "model", "model_state_dict", "state_dict_ema", "model_ema"])
    def test_pickled_checkpoints_wherever_the_state_dict_lies(self, tmp_path, name, key):
        torch.save(TENSORS if key is None else {key: TENSORS, "epoch": 3, "arch": "vit"}, tmp_path / name)
        assert same(read_weights(tmp_path / name).tensors, TENSORS)

    def test_averaged_weights_come_before_the_others(self, tmp_path):
        averaged = {name: tensor + 1 for name, tensor in TENSORS.items()}
        torch.save({"state_dict": TENSORS, "state_dict_ema": averaged}, tmp_path / "w.pth")
        assert same(read_weights(tmp_path / "w.pth").tensors, averaged)

    def test_the_prefix_of_a_parallel_model_is_dropped(self, tmp_path):
        torch.save({f"module.{name}": tensor for name, tensor in TENSORS.items()}, tmp_path / "w.pth")
        assert same(read_weights(tmp_path / "w.pth").tensors, TENSORS)

    @pytest.mark.parametrize("key", ["args", "args_dict"])
    def test_what_a_timm_checkpoint_says_of_its_training_is_kept(self, tmp_path, key):
        said = argparse.Namespace(img_size=32, mean=[0.1, 0.2, 0.3], std=(0.4, 0.5, 0.6), model="vit")
        torch.save({"state_dict": TENSORS, key: said}, tmp_path / "w.pth.tar")
        found = read_weights(tmp_path / "w.pth.tar")
        assert (found.image_size, found.mean, found.std) == ((32, 32), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))

    @pytest.mark.parametrize(
        "said", [argparse.Namespace(), argparse.Namespace(img_size=None, mean=None, std=["a", "b", "c"]), 7, None]
    )
    def test_what_it_does_not_say_is_none(self, tmp_path, said):
        torch.save({"state_dict": TENSORS, "args": said}, tmp_path / "w.pth")
        found = read_weights(tmp_path / "w.pth")
        assert (found.image_size, found.mean, found.std) == (None, None, None)

    @pytest.mark.parametrize("zipped", [True, False])
    def test_a_pickle_that_needs_more_than_tensors_is_refused_named_and_not_executed(self, tmp_path, zipped):
        content = {"state_dict": TENSORS, "hook": Attack(tmp_path / "executed")}
        torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
        with pytest.raises(UserError, match=rf"nothing in it was executed: it needs {os.name}\.system"):
            read_weights(tmp_path / "w.pth")
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize("protocol", [0, 2, 4])
    def test_a_pickle_that_torch_did_not_write_is_refused_and_not_executed(self, tmp_path, protocol):
        (tmp_path / "w.pth").write_bytes(pickle.dumps(Attack(tmp_path / "executed"), protocol=protocol))
        with pytest.raises(UserError, match=r"nothing in it was executed|is not a readable checkpoint"):
            read_weights(tmp_path / "w.pth")
        assert not (tmp_path / "executed").exists()

    def test_every_global_that_is_needed_is_named(self, tmp_path):
        torch.save({"path": pathlib.PurePosixPath("x"), "model": nn.Linear(1, 1)}, tmp_path / "w.pth")
        with pytest.raises(UserError, match=r"it needs pathlib\.PurePosixPath, torch\.nn\.modules\.linear\.Linear"):
            read_weights(tmp_path / "w.pth")

    @pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
    @pytest.mark.parametrize("content", [b"", b"hello world, this is a text", bytes(range(256)) * 4])
    def test_a_damaged_file_is_refused(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            read_weights(tmp_path / name)

    def test_a_file_that_was_cut_off_is_refused(self, tmp_path):
        torch.save(TENSORS, tmp_path / "w.pth")
        content = (tmp_path / "w.pth").read_bytes()
        (tmp_path / "w.pth").write_bytes(content[: len(content) // 2])
        with pytest.raises(UserError, match="is not a readable checkpoint"):
            read_weights(tmp_path / "w.pth")

    @pytest.mark.parametrize("content", [{"epoch": 3}, {"state_dict": {}}, [1, 2], 7])
    def test_a_checkpoint_without_tensors_is_refused(self, tmp_path, content):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(UserError, match="holds no state dict"):
            read_weights(tmp_path / "w.pth")

    @pytest.mark.parametrize("name", ["nowhere.pth", "nowhere.safetensors", "."])
    def test_a_missing_file_is_named(self, tmp_path, name):
        with pytest.raises(UserError, match="no weights file at"):
            read_weights(tmp_path / name)

    def test_another_format_is_refused(self, tmp_path):
        (tmp_path / "w.h5").write_bytes(b"x")
        with pytest.raises(UserError, match=r"cannot read weights from w\.h5: expected \.safetensors, \.npz or \.pth"):
            read_weights(tmp_path / "w.h5")


class TestFit:
    def fit(self, network, tensors):
        return fit_weights(network, tensors, ("head",), "the file")

    def test_weights_that_fit_are_taken_as_they_are_without_a_word(self):
        source, target = build(seed=1), build(seed=2)
        assert self.fit(target, source.state_dict()) == []
        assert same(target.state_dict(), source.state_dict())

    def test_a_head_of_another_size_starts_anew_and_it_is_said(self, caplog):
        source, target = build(classes=7), build(seed=2)
        start = target.head.weight.clone()
        with caplog.at_level(logging.INFO, logger="robustpeft"):
            notes = self.fit(target, source.state_dict())
        assert notes == ["the file has a head of 7 classes; head starts anew with 4 classes"]
        assert notes[0] in caplog.messages
        assert torch.equal(target.head.weight, start)
        assert torch.equal(target.blocks[1].mlp.fc1.weight, source.blocks[1].mlp.fc1.weight)

    def test_a_file_without_a_head_is_fine_too(self):
        notes = self.fit(build(), build(classes=0).state_dict())
        assert notes == ["the file has no head; head starts anew with 4 classes"]

    def test_a_head_that_the_network_does_not_have_is_left_out_and_said(self):
        notes = fit_weights(build(classes=0), build().state_dict(), (), "the file")
        assert len(notes) == 2
        assert all("is not used, this network has no such head" in note for note in notes)

    def test_kernels_and_position_embeddings_are_resampled_to_other_sizes(self):
        source = build(seed=1)
        rows = torch.arange(4.0).reshape(4, 1, 1).expand(4, 4, 24)
        source.pos_embed.data[0, 1:] = rows.reshape(16, 24)
        target = build(seed=2, img_size=32, patch_size=2)
        self.fit(target, source.state_dict())
        assert target.patch_embed.proj.weight.shape == (24, 3, 2, 2)
        assert target.pos_embed.shape == (1, 1 + 16 * 16, 24)
        assert torch.equal(target.pos_embed[:, 0], source.pos_embed[:, 0])  # the class token's is no place on a grid
        grid = target.pos_embed.detach()[0, 1:].reshape(16, 16, 24)
        torch.testing.assert_close(grid, grid[:, :1, :1].expand(16, 16, 24), rtol=0, atol=1e-4)  # rows stay rows
        assert (grid[:, 0, 0].diff()[3:-3] > 0.1).all()

    def test_a_constant_image_is_embedded_alike_by_a_resampled_kernel(self):
        source, target = build(seed=1), build(seed=2, img_size=32, patch_size=8)
        self.fit(target, source.state_dict())
        one = source.patch_embed.proj(torch.full((1, 3, 4, 4), 0.7)).flatten()
        other = target.patch_embed.proj(torch.full((1, 3, 8, 8), 0.7)).flatten()
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda s: s.pop("blocks.1.norm1.weight"), r"1 missing \(blocks\.1\.norm1\.weight\); none unexpected"),
            (lambda s: s.update(extra=torch.zeros(1)), r"none missing; 1 unexpected \(extra\)"),
            (
                lambda s: s.update({"norm.bias": torch.zeros(5)}),
                r"1 of another shape \(norm\.bias is \(5,\), not \(24,\)",
            ),
            (
                lambda s: [s.pop(n) for n in list(s) if "blocks.1" in n],
                r"12 missing \(blocks\.1\.attn\.proj\.bias, .*\.\.\.",
            ),
            (lambda s: s.update({"patch_embed.proj.weight": torch.zeros(5, 7)}), "resampling it failed"),
            (lambda s: s.update({"pos_embed": torch.zeros(1, 12, 24)}), "resampling it failed"),
            (lambda s: s.update({"encoder": torch.zeros(1)}), "resampling it failed"),
        ],
    )
    def test_what_does_not_fit_is_refused_by_name_and_changes_nothing(self, change, message):
        network, tensors = build(), dict(build(seed=1).state_dict())
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        change(tensors)
        with pytest.raises(UserError, match=rf"the file does not fit VisionTransformer: .*{message}"):
            self.fit(network, tensors)
        assert same(network.state_dict(), before)

    def test_another_architecture_is_refused(self):
        with pytest.raises(UserError, match=r"does not fit Linear: 2 missing \(bias, weight\); 30 unexpected"):
            fit_weights(nn.Linear(2, 2), build().state_dict(), (), "the file")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n  <!DOCTYPE HTML>", "is a web page"),
        (b"<html lang='en'>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS"),
    ],
)
def test_what_a_failed_download_leaves_is_called_by_its_name(tmp_path, content, said):
    for file in ("w.safetensors", "w.pth"):
        (tmp_path / file).write_bytes(content)
        with pytest.raises(UserError, match=said):
            read_weights(tmp_path / file)
