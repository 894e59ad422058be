import pytest
import timm
import torch
from torch import nn

from robustpeft.backbones.vit_seams import vit_seams
from robustpeft.types import COMPONENTS

SIZES = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 12, "num_heads": 2}


def build(name, **sizes):
    return timm.create_model(name, num_classes=4, **(SIZES | sizes))


@pytest.fixture(scope="module")
def vit():
    return build("vit_tiny_patch16_224")


def test_every_linear_map_between_pixels_and_head_is_a_site(vit):
    seams = vit_seams(vit)
    maps = {n for n, m in vit.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    assert {site.module for site in seams.sites} == maps - {"head"}
    assert {site.component for site in seams.sites} == set(COMPONENTS)
    assert len(seams.sites) == 1 + 12 * 6


def test_the_blocks_are_in_order_also_those_with_two_digits(vit):
    seams = vit_seams(vit)
    assert seams.blocks == tuple(f"blocks.{i}" for i in range(12))
    assert [s.block for s in seams.select(["fc1"])] == list(range(12))
    assert [s.module for s in seams.select(["v"], blocks=[1, 10, 11])] == [f"blocks.{i}.attn.qkv" for i in (1, 10, 11)]
    assert {(s.component, s.part) for s in seams.sites if s.part} == {("q", (0, 3)), ("k", (1, 3)), ("v", (2, 3))}


def test_the_parts_of_the_fused_layer_are_queries_keys_and_values():
    network = build("vit_tiny_patch16_224", depth=1)
    attention, width = network.blocks[0].attn, 24
    tokens = torch.randn(1, 5, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = attention(tokens)
        attention.qkv.bias[width : 2 * width] += 3.0  # keys: a shift of all of them cancels in the softmax
        torch.testing.assert_close(attention(tokens), before, rtol=1e-4, atol=1e-5)
        attention.qkv.bias[2 * width :] += 3.0  # values: shifts the output by the projection of the shift
        shift = attention.proj.weight.sum(1) * 3.0
        torch.testing.assert_close(attention(tokens) - before, shift.expand(1, 5, width), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "heads", "embeddings"),
    [
        ("vit_tiny_patch16_224", ("head",), {"cls_token", "pos_embed"}),
        ("deit_tiny_distilled_patch16_224", ("head", "head_dist"), {"cls_token", "dist_token", "pos_embed"}),
        ("vit_small_patch14_reg4_dinov2", ("head",), {"cls_token", "reg_token", "pos_embed"}),
        ("vit_base_patch16_clip_224", ("head",), {"cls_token", "pos_embed"}),
    ],
)
def test_each_family_has_its_own_heads_and_embeddings(name, heads, embeddings):
    network = build(name, depth=1)
    seams = vit_seams(network)
    assert seams.heads == heads
    assert set(seams.embeddings) == embeddings
    names = dict(network.named_parameters())
    assert set(seams.embeddings) == {n for n in names if "." not in n}
    assert set(seams.norms) == {n for n, m in network.named_modules() if isinstance(m, nn.LayerNorm)}


def test_the_norm_in_front_of_the_blocks_of_a_clip_tower_is_one_of_the_norms():
    assert "norm_pre" in vit_seams(build("vit_base_patch16_clip_224", depth=1)).norms


@pytest.mark.parametrize(
    ("name", "prefix", "scaled"),
    [
        ("vit_tiny_patch16_224", 1, False),
        ("deit_tiny_distilled_patch16_224", 2, False),
        ("vit_small_patch14_reg4_dinov2", 5, True),
        ("vit_base_patch16_clip_224", 1, False),
    ],
)
def test_the_branches_of_a_block_are_those_that_it_adds_to_the_stream(name, prefix, scaled):
    network = build(name, depth=2).eval()
    seams = vit_seams(network)
    assert seams.prefix_tokens == prefix
    tokens = torch.randn(1, prefix + 16, 24, generator=torch.Generator().manual_seed(0))
    for block, residual in zip(seams.blocks, seams.residuals, strict=True):
        assert residual.width == 24
        assert (len(residual.attn), len(residual.mlp)) == ((3, 3) if scaled else (2, 2))
        stream = tokens
        for chain in (residual.attn, residual.mlp):
            branch = stream
            for path in chain:
                branch = network.get_submodule(path)(branch)
            stream = stream + branch
        torch.testing.assert_close(network.get_submodule(block)(tokens), stream)


@pytest.mark.parametrize("name", ["vit_small_patch16_18x2_224", "vit_base_patch16_xp_224"])
def test_blocks_of_another_kind_have_no_branches_that_are_known(name):
    assert vit_seams(build(name, depth=1)).residuals == ()


def test_a_network_without_a_head_has_none():
    assert vit_seams(timm.create_model("vit_tiny_patch16_224", num_classes=0, **SIZES)).heads == ()
