import pytest
import timm
import torch
from torch import nn

from robustpeft.backbones.eva_seams import eva_seams
from robustpeft.backbones.fused_bias import call_the_qkv_layers
from robustpeft.types import COMPONENTS

SIZES = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2}


def build(name, *, opened=True, **options):
    network = timm.create_model(name, **(SIZES | {"num_classes": 4} | options)).eval()
    if opened:
        call_the_qkv_layers(network)
    return network


@pytest.mark.parametrize(
    ("name", "maps_in", "fused", "embeddings"),
    [
        ("vit_small_patch16_dinov3", 1, True, ("cls_token", "reg_token")),
        ("vit_small_plus_patch16_dinov3", 2, True, ("cls_token", "reg_token")),
        ("eva02_tiny_patch14_224", 1, True, ("cls_token", "pos_embed")),
        ("eva02_base_patch14_224", 2, False, ("cls_token", "pos_embed")),
        ("eva_giant_patch14_224", 1, True, ("cls_token", "pos_embed")),
        ("vit_base_patch16_rope_reg1_gap_256", 1, True, ("reg_token",)),
    ],
)
def test_every_linear_map_is_called_and_is_a_site(name, maps_in, fused, embeddings):
    network = build(name)
    seams = eva_seams(network)
    met = []
    for path, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(lambda *_, path=path: met.append(path))
    network(torch.rand(1, 3, 16, 16))
    assert [*dict.fromkeys(site.module for site in seams.sites), "head"] == met
    assert seams.components == COMPONENTS
    assert [s.block for s in seams.select(["fc1"])] == [0] * maps_in + [1] * maps_in
    assert {s.part for s in seams.select(["q", "k", "v"])} == ({(0, 3), (1, 3), (2, 3)} if fused else {None})
    assert seams.embeddings == embeddings
    assert seams.heads == ("head",)
    assert {n for n, m in network.named_modules() if "norm" in n and list(m.parameters())} == set(seams.norms)


def test_what_the_network_does_not_call_is_no_site_and_the_reason_is_given():
    seams = eva_seams(build("eva02_tiny_patch14_224", opened=False))
    assert seams.components == ("patch_embed", "proj", "fc1", "fc2")
    assert "qkv_bias_separate" in seams.absent


@pytest.mark.parametrize(
    ("name", "options", "attn", "mlp"),
    [
        ("eva02_base_patch14_224", {}, ("norm1", "attn"), ("norm2", "mlp")),
        ("vit_small_patch16_dinov3", {}, ("drop_path1",), ("drop_path2",)),
        ("vit_small_patch16_dinov3", {"attn_only_layer_scale": True}, ("drop_path1",), ("norm2", "mlp")),
    ],
)
def test_with_a_layer_scale_only_the_end_of_a_branch_is_known(name, options, attn, mlp):
    seams = eva_seams(build(name, **options))
    for block, residual in zip(seams.blocks, seams.residuals, strict=True):
        assert residual.attn == tuple(f"{block}.{n}" for n in attn)
        assert residual.mlp == tuple(f"{block}.{n}" for n in mlp)
        assert residual.width == 24


def test_blocks_with_their_norms_at_the_end_have_no_branches_that_are_known():
    assert eva_seams(build("eva02_enormous_patch14_clip_224")).residuals == ()


def test_prompts_fit_where_no_rotary_embedding_counts_the_tokens():
    assert eva_seams(build("eva_giant_patch14_224")).prefix_tokens == 1
    assert eva_seams(build("vit_small_patch16_dinov3")).prefix_tokens is None
