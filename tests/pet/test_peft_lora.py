import pytest
import torch
from torch.nn import functional as F

from robustpeft.backbones import wrap
from robustpeft.pet import PeftLoRA
from robustpeft.types import UserError


def test_one_branch_over_all_of_a_fused_layer(model, shake):
    handle = PeftLoRA(r=3, alpha=6).attach(model)
    shake(handle)
    layer = model.network.blocks[1].attn.qkv
    tokens = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0))
    branch = 2.0 * tokens @ layer.adapter.A["joint"].T @ layer.adapter.B["joint"].T
    torch.testing.assert_close(layer(tokens), F.linear(tokens, layer.weight, layer.bias) + branch)


@pytest.mark.parametrize(
    ("alpha", "rslora", "scaling"), [(1, False, 0.25), (8, False, 2.0), (1, True, 0.5), (6, True, 3.0)]
)
def test_the_scaling_is_never_rounded(model, alpha, rslora, scaling):
    method = PeftLoRA(r=4, alpha=alpha, rslora=rslora)
    assert method.scaling_of("qkv") == scaling
    method.attach(model)
    assert model.network.blocks[0].attn.qkv.adapter.branches[0].scaling == scaling


def test_the_first_pattern_that_fits_the_end_of_a_path_decides(model):
    method = PeftLoRA(
        r=2, target_modules=("qkv", "fc1"), rank_pattern=((r"0\.attn\.qkv", 3), ("qkv", 4)), alpha_pattern=(("fc1", 5),)
    )
    paths = ["blocks.0.attn.qkv", "blocks.1.attn.qkv", "blocks.10.attn.qkv", "blocks.1.mlp.fc1", "xqkv"]
    assert [method.rank_of(path) for path in paths] == [3, 4, 4, 2, 2]
    assert method.scaling_of("blocks.1.mlp.fc1") == 2.5
    assert method.scaling_of("blocks.1.attn.qkv") == 2.0
    method.attach(model)
    blocks = model.network.blocks
    assert [len(blocks[i].attn.qkv.adapter.A["joint"]) for i in range(2)] == [3, 4]


def test_targets_are_paths_or_their_ends_behind_a_dot_and_heads_are_left_out(build):
    handle = PeftLoRA(r=2, target_modules=("proj", "blocks.1.mlp.fc1")).attach(build())
    assert sorted(handle.layers()) == [
        "blocks.0.attn.proj",
        "blocks.1.attn.proj",
        "blocks.1.mlp.fc1",
        "patch_embed.proj",
    ]
    for target, message in (
        ("kv", "no layer of .* is called 'kv'"),
        ("head", "is called 'head'"),
        ("attn", "is a Atten"),
    ):
        with pytest.raises(UserError, match=message):
            PeftLoRA(target_modules=(target,)).attach(build())


def test_blocks_10_and_11_are_hit(build):
    assert {f"blocks.{i}.attn.qkv" for i in range(12)} == PeftLoRA(r=1).attach(build(depth=12)).layers().keys()


def test_a_network_of_no_known_family_can_have_it_too(images):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 4))
    model = wrap(network)
    handle = PeftLoRA(r=2, target_modules=("1",)).attach(model)
    assert handle.num_parameters == 2 * (768 + 4) == PeftLoRA(r=2, target_modules=("1",)).count(wrap(network))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r": 0}, "r must be at least 1"),
        ({"alpha": 0.0}, "alpha must be positive"),
        ({"dropout": 1.0}, "dropout must be in"),
        ({"rank_pattern": (("qkv", 0),)}, "r must be at least 1"),
        ({"alpha_pattern": (("qkv", -1.0),)}, "alpha must be positive"),
        ({"rank_pattern": (("(", 2),)}, r"'\(' is not a regular expression"),
    ],
)
def test_bad_values_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        PeftLoRA(**changes)


def test_dropout_reaches_the_branch(model):
    PeftLoRA(r=2, dropout=0.25).attach(model)
    assert model.network.blocks[0].attn.qkv.adapter.dropout.p == 0.25


def test_the_seed_decides_how_it_begins(build):
    starts = [PeftLoRA(r=2).attach(build(), seed=s).state()["blocks.0.attn.qkv.adapter.A.joint"] for s in (0, 0, 1)]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
