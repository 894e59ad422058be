import copy
import math

import pytest
import torch
from torch import nn

from robustpeft.backbones import wrap
from robustpeft.pet import VPT, Adapter, FullLoRA
from robustpeft.types import Seams, Site, UserError

NETWORKS = (
    ("vit_tiny_patch16_224", {}, 1),
    ("vit_tiny_patch16_224", {"global_pool": "avg"}, 1),
    ("vit_tiny_patch16_224", {"global_pool": "avg", "class_token": False}, 0),
    ("deit_tiny_distilled_patch16_224", {}, 2),
    ("vit_small_patch14_reg4_dinov2", {}, 5),
    ("vit_base_patch16_clip_224", {}, 1),
)
NETWORK = pytest.mark.parametrize(("name", "options", "prefix"), NETWORKS)
DEEP = pytest.mark.parametrize("deep", [False, True])


def reference(network, inputs, state, prefix, n):
    """Return the logits of a bare network among whose tokens are prompts, of this state, written down by hand."""
    x = network.norm_pre(network._pos_embed(network.patch_embed(inputs)))
    for i, block in enumerate(network.blocks):
        prompts = state.get(f"blocks.{i}.prompts.tokens")
        if prompts is not None:
            patches = x[:, prefix + (n if i else 0) :]
            x = torch.cat((x[:, :prefix], prompts.expand(len(x), -1, -1), patches), dim=1)
        x = block(x)
    return network.forward_head(network.norm(torch.cat((x[:, :prefix], x[:, prefix + n :]), dim=1)))


@DEEP
@NETWORK
def test_the_logits_are_those_written_down_by_hand(build, images, name, options, prefix, deep):
    model = build(name, depth=3, **options)
    bare, before = copy.deepcopy(model.network), model(images)
    handle = VPT(num_prompts=4, deep=deep).attach(model)
    wanted = reference(bare, model.normalize(images), handle.state(), prefix, 4)
    assert (wanted - before).abs().max() > 1e-4
    torch.testing.assert_close(model(images), wanted, rtol=1e-5, atol=1e-5)


@DEEP
@NETWORK
def test_the_blocks_see_the_prompts_and_norm_and_pooling_never_do(build, images, name, options, prefix, deep):
    model = build(name, depth=3, **options)
    VPT(num_prompts=4, deep=deep).attach(model)
    lengths = []
    for module in (*(block.attn for block in model.network.blocks), model.network.norm):
        module.register_forward_hook(lambda module, inputs, output: lengths.append(inputs[0].shape[1]))
    model(images)
    assert lengths == [prefix + 16 + 4] * 3 + [prefix + 16]


def test_one_block_has_both_ways(build, images):
    model = build(depth=1)
    bare = copy.deepcopy(model.network)
    handle = VPT(num_prompts=2, deep=True).attach(model)
    wanted = reference(bare, model.normalize(images), handle.state(), 1, 2)
    torch.testing.assert_close(model(images), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("deep", "times"), [(False, 1), (True, 12)])
def test_the_count_is_the_one_in_the_docstring(build, deep, times):
    d, n = 24, 7
    model = build(embed_dim=d, depth=12)
    handle = VPT(num_prompts=n, deep=deep).attach(model)
    assert VPT(num_prompts=n, deep=deep).count(model) == n * d * times
    assert handle.num_parameters - handle.num_head_parameters == n * d * times
    assert handle.added_names() == {f"blocks.{i}.prompts.tokens" for i in range(times)}


def test_the_start_is_the_one_said_and_no_two_blocks_start_alike(build):
    p, d = 4, 32
    bound = math.sqrt(6 / (3 * p**2 + d))
    state = VPT(num_prompts=50, deep=True).attach(build(patch_size=p, embed_dim=d)).state()
    one, other = (state[f"blocks.{i}.prompts.tokens"] for i in range(2))
    assert 0.98 * bound < one.abs().max() <= bound
    assert abs(one.mean()) < 0.05 * bound
    assert not torch.equal(one, other)


def test_the_other_start_is_uniform_on_one_half(build):
    prompts = VPT(num_prompts=50, init="uniform").attach(build()).state()["blocks.0.prompts.tokens"]
    assert 0.49 < prompts.abs().max() <= 0.5
    assert abs(prompts.mean()) < 0.03


def test_dropout_is_on_only_while_the_prompts_are_in_training_mode(model, images):
    handle = VPT(dropout=0.5).attach(model)
    assert torch.equal(model(images), model(images))
    handle.train()
    assert not torch.equal(model(images), model(images))
    assert torch.equal(model.attack_view()(images), model.attack_view()(images))


def test_a_checkpointed_network_answers_and_learns_the_same(model, images):
    handle = VPT(num_prompts=3, deep=True).attach(model)
    parameters = handle.parameters()
    wanted = torch.autograd.grad(model(images).square().sum(), parameters)
    model.network.set_grad_checkpointing(True)
    found = torch.autograd.grad(model(images).square().sum(), parameters)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("partner", [Adapter("post", bottleneck=3), FullLoRA(r=2)])
def test_it_goes_with_other_techniques_in_either_order(build, images, partner):
    answers = []
    for method in (VPT() + partner, partner + VPT()):
        model = build()
        before = model(images)
        assert not method.identity_at_start
        handle = method.attach(model)
        with torch.no_grad():
            for name, parameter in sorted(handle.named_parameters().items()):
                parameter.add_(torch.full_like(parameter, 0.03 + 0.001 * len(name)))
        answers.append(model(images))
        torch.testing.assert_close(model.attack_view()(images), answers[-1], rtol=1e-4, atol=1e-4)
        handle.detach()
        assert torch.equal(model(images), before)
    torch.testing.assert_close(answers[0], answers[1])


def test_blocks_of_any_kind_take_prompts(build, images):
    model = build("vit_small_patch16_18x2_224")
    before = model(images)
    VPT(deep=True).attach(model)
    assert not torch.equal(model(images), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_prompts": 0}, "num_prompts must be at least 1; got 0"),
        ({"init": "unifrom"}, "unknown init 'unifrom'; did you mean 'uniform'"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\); got 1"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\); got -0.1"),
    ],
)
def test_what_means_nothing_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        VPT(**arguments)


def test_a_network_whose_blocks_take_no_sequence_is_refused_and_nothing_is_attached():
    model = wrap(nn.Sequential(nn.Conv2d(3, 8, 4, stride=4)))
    model.seams = Seams("toy", (Site("patch_embed", "0"),), ("0",), ("0",), ())
    with pytest.raises(UserError, match="blocks of this toy take no sequence of tokens"):
        VPT().attach(model)
    assert model.attachments == []
