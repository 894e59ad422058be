import copy

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.nn import functional as F

from robustpeft.pet import (
    SSF,
    VPT,
    Adapter,
    AdapterPlus,
    AdaptFormer,
    BitFit,
    Combined,
    Full,
    FullLoRA,
    LastBlocks,
    LayerNormTuning,
    LinearProbe,
    LNLoRA,
    LoRA,
    NormsAndBiases,
)
from robustpeft.types import UserError

PARTS = {
    "adapter": (
        Adapter(bottleneck=2),
        LoRA(r=2),
        LNLoRA(r=3, components=("q", "fc1")),
        FullLoRA(r=2, patch_embed=False),
        LoRA(r=1, components=("patch_embed",)),
        SSF(),
        AdapterPlus(bottleneck=2),
    ),
    "in_place": (
        NormsAndBiases(),
        NormsAndBiases(embeddings=False),
        NormsAndBiases(norms=False),
        LinearProbe(),
        Full(),
        BitFit(),
        LayerNormTuning(),
        LastBlocks(),
    ),
}


def test_a_sum_is_flat_and_keeps_the_order():
    parts = (LoRA(r=2), NormsAndBiases(), LinearProbe())
    assert parts[0] + parts[1] + parts[2] == Combined(parts) == Combined((Combined(parts[:2]), parts[2]))
    assert (parts[0] + (parts[1] + parts[2])).methods == parts


@given(adapter=st.sampled_from(PARTS["adapter"]), others=st.lists(st.sampled_from(PARTS["in_place"]), min_size=1))
@settings(max_examples=20, deadline=None)
def test_the_count_is_that_of_the_union(build, adapter, others):
    model = build(depth=1)
    method = Combined((adapter, *others))
    count = method.count(model)
    handle = method.attach(model)
    assert handle.num_parameters - handle.num_head_parameters == count
    union = set().union(*(other.thawed(model) for other in others)) - {"head.weight", "head.bias"}
    in_place = sum(model.network.get_parameter(name).numel() for name in union if name not in handle.added_names())
    added = sum(model.network.get_parameter(name).numel() for name in handle.added_names())
    assert count == in_place + added


def test_branches_of_several_techniques_stand_side_by_side(model, images):
    before = model(images)
    handle = (LoRA(r=2, components=("fc1",)) + LNLoRA(r=2, components=("q", "k", "v"))).attach(model)
    assert torch.equal(model(images), before)
    layers = {name.split(".adapter.")[0].split(".", 2)[-1] for name in handle.added_names()}
    assert layers == {"mlp.fc1", "attn.qkv"}
    handle.detach()
    assert torch.equal(model(images), before)


def test_two_techniques_at_one_layer_are_refused_and_nothing_is_attached(model):
    with pytest.raises(UserError, match=r"both adapt blocks\.0\.attn\.qkv; give each its own layers"):
        (LoRA(r=2, components=("q",)) + LNLoRA(r=2, components=("k",))).attach(model)
    assert model.attachments == []


@pytest.mark.parametrize("methods", [(SSF(), LoRA(r=2)), (LNLoRA(r=2, components=("k",)), SSF())])
def test_scaling_a_layer_that_has_branches_is_refused_and_nothing_is_attached(model, methods):
    with pytest.raises(UserError, match=r"both adapt blocks\.0\.attn\.qkv; give each its own layers, or leave one out"):
        Combined(methods).attach(model)
    assert model.attachments == []


def test_lora_in_attention_goes_with_an_adapter_in_the_mlp(model, shake):
    bare = copy.deepcopy(model.network.blocks[1])
    handle = (LoRA(r=2, components=("q", "v")) + Adapter("pfeiffer", bottleneck=3)).attach(model)
    shake(handle)
    t = {name.removeprefix("blocks.1."): value for name, value in handle.state().items()}
    x = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for row, part in ((0, "q"), (64, "v")):
            bare.attn.qkv.weight[row : row + 32] += t[f"attn.qkv.adapter.B.{part}"] @ t[f"attn.qkv.adapter.A.{part}"]
    r = x + bare.attn(bare.norm1(x))
    m = bare.mlp(bare.norm2(r))
    down = m @ t["mlp.adapter.down.weight"].T + t["mlp.adapter.down.bias"]
    increment = F.gelu(down) @ t["mlp.adapter.up.weight"].T + t["mlp.adapter.up.bias"]
    torch.testing.assert_close(model.network.blocks[1](x), r + m + increment, rtol=1e-5, atol=1e-5)


def test_normalised_branches_go_with_an_adapter_on_the_stream(model, images, shake):
    before = model(images)
    handle = (LNLoRA(r=2) + AdaptFormer(bottleneck=8, scale=1.0)).attach(model)
    assert torch.equal(model(images), before)
    shake(handle)
    both = model(images)
    torch.testing.assert_close(model.attack_view()(images), both, rtol=1e-4, atol=1e-4)
    for name, parameter in handle.named_parameters().items():
        if name.endswith(("up.weight", "up.bias")):
            parameter.data.zero_()
    without = model(images)
    assert (both - without).abs().max() > 1e-3
    assert (without - before).abs().max() > 1e-3


def test_a_count_does_not_depend_on_what_is_attached(build):
    method = Combined((Adapter("post", bottleneck=3), BitFit(), LastBlocks()))
    model = build()
    count = method.count(model)
    method.attach(model)
    assert method.count(model) == count


def test_two_techniques_at_one_seam_are_refused_and_nothing_is_attached(model):
    with pytest.raises(UserError, match=r"both stand at blocks\.0\.mlp; leave one of them out"):
        (Adapter("houlsby") + Adapter("pfeiffer", bottleneck=3)).attach(model)
    assert model.attachments == []


def test_what_is_inserted_and_what_is_replaced_come_off_together(model, images, shake):
    before = model(images)
    handle = (Adapter(bottleneck=2) + LoRA(r=2) + NormsAndBiases()).attach(model)
    assert torch.equal(model(images), before)
    shake(handle)
    torch.testing.assert_close(model.attack_view()(images), model(images), rtol=1e-4, atol=1e-4)
    handle.detach()
    assert torch.equal(model(images), before)


def test_it_has_a_property_if_all_of_its_parts_have_it():
    assert (LoRA() + NormsAndBiases()).mergeable
    assert not (LoRA() + Adapter()).mergeable
    assert (LoRA() + Adapter()).identity_at_start


@pytest.mark.parametrize("methods", [(), (LoRA(),)])
def test_fewer_than_two_are_refused(methods):
    with pytest.raises(UserError, match=f"at least two methods; got {len(methods)}"):
        Combined(methods)


def test_the_parts_start_from_the_seed_that_was_given(build):
    both = LNLoRA(r=2, components=("q",)) + LoRA(r=2, components=("fc1",)) + VPT(num_prompts=2)
    starts = [both.attach(build(), seed=seed).state() for seed in (1, 2)]
    drawn = [name for name in starts[0] if ".A." in name or "prompts" in name]
    assert {"prompts" in name for name in drawn} == {True, False}
    assert not any(torch.equal(starts[0][name], starts[1][name]) for name in drawn)
