"""Weights in the layout of the original release, .npz files of numpy arrays, become the network's."""

import logging
import pickle

import numpy as np
import pytest
import torch

from robustpeft.backbones import BACKBONES, load_backbone
from robustpeft.types import UserError


def write_npz(path, network, *, blocks=None, head=True):
    """Write a network's weights in the layout of the original release."""
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    arrays = {
        "embedding/kernel": state["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "cls": state["cls_token"],
        "Transformer/posembed_input/pos_embedding": state["pos_embed"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
    }
    if head:
        arrays |= {"head/kernel": state["head.weight"].T, "head/bias": state["head.bias"]}
    d, heads = state["norm.weight"].shape[0], network.blocks[0].attn.num_heads
    for i in range(len(network.blocks) if blocks is None else blocks):
        here, there = f"blocks.{i % len(network.blocks)}.", f"Transformer/encoderblock_{i}/"
        for n, name in ((0, "norm1"), (2, "norm2")):
            arrays[f"{there}LayerNorm_{n}/scale"] = state[f"{here}{name}.weight"]
            arrays[f"{there}LayerNorm_{n}/bias"] = state[f"{here}{name}.bias"]
        attention = f"{there}MultiHeadDotProductAttention_1/"
        for part, name in enumerate(("query", "key", "value")):
            rows = slice(part * d, (part + 1) * d)
            arrays[f"{attention}{name}/kernel"] = state[f"{here}attn.qkv.weight"][rows].T.reshape(d, heads, -1)
            arrays[f"{attention}{name}/bias"] = state[f"{here}attn.qkv.bias"][rows].reshape(heads, -1)
        arrays[f"{attention}out/kernel"] = state[f"{here}attn.proj.weight"].T.reshape(heads, -1, d)
        arrays[f"{attention}out/bias"] = state[f"{here}attn.proj.bias"]
        for n in (0, 1):
            arrays[f"{there}MlpBlock_3/Dense_{n}/kernel"] = state[f"{here}mlp.fc{n + 1}.weight"].T
            arrays[f"{there}MlpBlock_3/Dense_{n}/bias"] = state[f"{here}mlp.fc{n + 1}.bias"]
    np.savez(path, **arrays)


class TestFromNumpy:
    def test_the_layout_of_the_original_release_is_mapped(self, source, images, tmp_path):
        write_npz(tmp_path / "w.npz", source.network)
        model = load_backbone("digits_vit", num_classes=7, weights=tmp_path / "w.npz")
        torch.testing.assert_close(model(images), source(images), rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("head", [True, False])
    def test_a_head_that_is_not_used_is_said(self, source, tmp_path, caplog, head):
        write_npz(tmp_path / "w.npz", source.network, head=head)
        with caplog.at_level(logging.INFO, logger="robustpeft"):
            load_backbone("digits_vit", num_classes=3, weights=tmp_path / "w.npz")
        assert "w.npz has no head of 3 classes; head starts anew" in caplog.messages

    @pytest.mark.parametrize(("blocks", "message"), [(5, "it has 5 blocks"), (3, "encoderblock_3")])
    def test_another_depth_is_refused(self, source, tmp_path, blocks, message):
        write_npz(tmp_path / "w.npz", source.network, blocks=blocks)
        with pytest.raises(UserError, match=rf"w\.npz does not fit VisionTransformer \(.*{message}"):
            load_backbone("digits_vit", weights=tmp_path / "w.npz")

    def test_another_width_is_refused(self, tmp_path):
        write_npz(tmp_path / "w.npz", BACKBONES["digits_vit"](embed_dim=32))
        with pytest.raises(UserError, match=r"w\.npz does not fit VisionTransformer"):
            load_backbone("digits_vit", weights=tmp_path / "w.npz")

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut off", pickle.dumps(print)])
    def test_a_damaged_file_is_refused(self, tmp_path, content):
        (tmp_path / "w.npz").write_bytes(content)
        with pytest.raises(UserError, match=r"w\.npz does not fit VisionTransformer"):
            load_backbone("digits_vit", weights=tmp_path / "w.npz")

    def test_arrays_of_something_else_are_refused(self, tmp_path):
        np.savez(tmp_path / "w.npz", a=np.zeros(3))
        with pytest.raises(UserError, match=r"w\.npz does not fit VisionTransformer"):
            load_backbone("digits_vit", weights=tmp_path / "w.npz")

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(UserError, match=r"no weights file at .*w\.npz"):
            load_backbone("digits_vit", weights=tmp_path / "w.npz")

    def test_a_network_without_such_a_loader_is_refused(self, tmp_path):
        np.savez(tmp_path / "w.npz", a=np.zeros(3))
        with pytest.raises(UserError, match=r"ResNet has no loader for \.npz weights"):
            load_backbone("resnet10t", num_classes=2, weights=tmp_path / "w.npz")
