import copy
import dataclasses

import pytest
import torch

from robustpeft.pet import AdaptFormer, LoRA, NormsAndBiases
from robustpeft.types import UserError

FAMILIES = (
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "vit_base_patch16_clip_224",
)
TOKENS = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0))


def reference(block, x, state, prefix, scale, f=torch.relu):
    """Return what a block answers with an adapter, of these tensors, beside its MLP on the un-normalised stream."""
    host = "ls2" if hasattr(block.ls2, "gamma") else "mlp"
    down, up = (
        (state[f"{prefix}{host}.adapter.{name}.weight"], state[f"{prefix}{host}.adapter.{name}.bias"])
        for name in ("down", "up")
    )
    r = x + block.ls1(block.attn(block.norm1(x)))
    adapter = f(r @ down[0].T + down[1]) @ up[0].T + up[1]
    return r + block.ls2(block.mlp(block.norm2(r))) + scale * adapter


@pytest.mark.parametrize(("activation", "f"), [("relu", torch.relu), ("gelu", torch.nn.functional.gelu)])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_block_answers_as_written_down_by_hand(build, shake, family, activation, f):
    model = build(family)
    bare = copy.deepcopy(model.network.blocks[1])
    handle = AdaptFormer(bottleneck=8, scale=0.7, activation=activation).attach(model)
    shake(handle)
    wanted = reference(bare, TOKENS, handle.state(), "blocks.1.", 0.7, f)
    assert (wanted - bare(TOKENS)).abs().max() > 0.01
    torch.testing.assert_close(model.network.blocks[1](TOKENS), wanted, rtol=1e-5, atol=1e-5)


def test_it_reads_the_stream_and_not_what_the_mlp_reads(model, shake):
    handle = AdaptFormer(bottleneck=8, scale=1.0).attach(model)
    shake(handle)
    block, seen = model.network.blocks[0], []
    block.mlp.adapter.register_forward_hook(lambda module, inputs, output: seen.append(inputs[1]))
    x = 10 * TOKENS + 3
    block(x)
    with model.disabled():
        r = x + block.attn(block.norm1(x))
    torch.testing.assert_close(seen[0], r)
    assert (seen[0] - block.norm2(r)).abs().max() > 1


@pytest.mark.parametrize("partner", [LoRA(r=2, components=("fc1", "fc2")), NormsAndBiases()])
def test_it_stands_beside_what_the_mlp_and_its_norm_become(build, images, shake, partner):
    model = build()
    before = model(images)
    handle = (AdaptFormer(bottleneck=4) + partner).attach(model)
    assert torch.equal(model(images), before)
    shake(handle)
    torch.testing.assert_close(model.attack_view()(images), model(images), rtol=1e-4, atol=1e-4)
    handle.detach()
    assert torch.equal(model(images), before)


def test_the_count_is_the_one_in_the_docstring(build):
    d, depth, m = 24, 12, 5
    model = build(embed_dim=d, depth=depth)
    handle = AdaptFormer(bottleneck=m).attach(model)
    assert AdaptFormer(bottleneck=m).count(model) == (2 * d * m + m + d) * depth
    assert handle.num_parameters - handle.num_head_parameters == (2 * d * m + m + d) * depth
    assert {int(name.split(".")[1]) for name in handle.added_names()} == set(range(depth))


def test_dropout_is_on_only_while_the_adapter_is_in_training_mode(model, images, shake):
    handle = AdaptFormer(bottleneck=8, scale=1.0, dropout=0.5).attach(model)
    shake(handle)
    assert torch.equal(model(images), model(images))
    handle.train()
    assert not torch.equal(model(images), model(images))
    assert torch.equal(model.attack_view()(images), model.attack_view()(images))


def test_the_defaults_are_those_of_the_source():
    assert AdaptFormer() == AdaptFormer(bottleneck=64, scale=0.1, dropout=0.1, activation="relu", init="zero")


def test_only_the_chosen_blocks_have_adapters(build):
    model = build(depth=4)
    method = AdaptFormer(bottleneck=3, blocks=(-1, 1))
    count = method.count(model)
    handle = method.attach(model)
    assert count == handle.num_parameters - handle.num_head_parameters == AdaptFormer(bottleneck=3).count(model) / 2
    assert {int(name.split(".")[1]) for name in handle.added_names()} == {1, 3}
    with pytest.raises(UserError, match=r"blocks \[-5\] do not exist"):
        AdaptFormer(blocks=(-5,)).attach(build(depth=4))


def test_another_start_is_not_the_identity_and_says_so(build):
    method = AdaptFormer(bottleneck=32, init="normal")
    assert not method.identity_at_start
    assert AdaptFormer().identity_at_start
    state = method.attach(build(depth=1)).state()
    assert state["blocks.0.mlp.adapter.up.weight"].std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bottleneck": 0}, "bottleneck must be at least 1; got 0"),
        ({"scale": 0.0}, "scale must not be 0"),
        ({"activation": "rleu"}, "unknown activation 'rleu'; did you mean 'relu'"),
        ({"init": "normale"}, "unknown init 'normale'; did you mean 'normal'"),
        ({"blocks": ()}, "blocks must name at least one block"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\); got 1"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\); got -0.1"),
    ],
)
def test_what_means_nothing_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        AdaptFormer(**arguments)


def test_branches_of_which_only_the_end_is_known_are_refused(model):
    ends = tuple(dataclasses.replace(r, mlp=r.mlp[-1:]) for r in model.seams.residuals)
    model.seams = dataclasses.replace(model.seams, residuals=ends)
    with pytest.raises(UserError, match="only the end is known"):
        AdaptFormer().attach(model)
    assert model.attachments == []


def test_blocks_of_another_kind_are_refused(build):
    with pytest.raises(UserError, match="blocks of this vit are not"):
        AdaptFormer().attach(build("vit_small_patch16_18x2_224"))
