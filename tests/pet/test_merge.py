import pytest
import torch
from torch import nn

from robustpeft.backbones import Backbone
from robustpeft.pet import SSF, VPT, AdaptFormer, Full, FullLoRA, LinearProbe, LNLoRA, LoRA, NormsAndBiases, PeftLoRA
from robustpeft.pet.merge import merged_state
from robustpeft.types import COMPONENTS, UserError

MERGEABLE = [
    LoRA(r=2, alpha=7, components=COMPONENTS, dropout=0.5),
    PeftLoRA(r=3, target_modules=("qkv", "fc2")),
    LoRA(r=2, components=("k",)) + NormsAndBiases(),
    SSF(),
    Full(),
    LinearProbe(),
]


@pytest.mark.parametrize("method", MERGEABLE, ids=lambda m: type(m).__name__)
def test_merged_the_network_is_of_its_own_classes_and_answers_the_same(build, images, shake, method):
    model, bare = build(), build()
    required = {name: p.requires_grad for name, p in model.named_parameters()}
    handle = method.attach(model)
    shake(handle)
    wanted, digests = model(images), merged_state(handle)
    handle.merge()
    torch.testing.assert_close(model(images), wanted, rtol=0, atol=1e-5)
    assert not torch.allclose(model(images), bare(images), atol=1e-2)
    assert model.attachments == []
    assert {n: type(m) for n, m in model.named_modules()} == {n: type(m) for n, m in bare.named_modules()}
    state = model.network.state_dict()
    assert state.keys() == bare.network.state_dict().keys() == digests.keys()
    assert all(torch.equal(tensor, digests[name]) for name, tensor in state.items())
    bare.network.load_state_dict(state)
    torch.testing.assert_close(bare(images), wanted, rtol=0, atol=1e-5)
    assert {name: p.requires_grad for name, p in model.named_parameters()} == required
    with pytest.raises(UserError, match="is not attached any more"):
        handle.parameters()
    LoRA(r=2).attach(model)


def test_the_patch_embedding_is_a_convolution_again(model, shake):
    handle = LoRA(r=2, components=("patch_embed",)).attach(model)
    shake(handle)
    adapter, weight = model.network.patch_embed.proj.adapter, model.network.patch_embed.proj.weight
    increment = (adapter.B["patch_embed"] @ adapter.A["patch_embed"]).view_as(weight).detach()
    expected = weight.detach() + increment
    handle.merge()
    assert type(model.network.patch_embed.proj) is nn.Conv2d
    torch.testing.assert_close(model.network.patch_embed.proj.weight.detach(), expected)


def test_a_bias_that_a_layer_did_not_have_is_made(build, images, shake):
    model = build("vit_base_patch16_clip_224")
    handle = SSF().attach(model)
    shake(handle)
    wanted = model(images)
    assert model.network.patch_embed.proj.bias is None
    handle.merge()
    assert model.network.patch_embed.proj.bias.requires_grad  # as any other parameter of the network
    torch.testing.assert_close(model(images), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "method",
    [LNLoRA(r=2), FullLoRA(r=2), AdaptFormer(bottleneck=4), VPT(num_prompts=2), LoRA(r=2) + AdaptFormer(bottleneck=4)],
    ids=lambda m: type(m).__name__,
)
def test_what_no_weights_equal_is_refused_and_nothing_changes(model, images, shake, method):
    handle = method.attach(model)
    shake(handle)
    wanted = model(images)
    for action in (handle.merge, lambda: merged_state(handle)):
        with pytest.raises(UserError, match=r"cannot be merged: what it adds depends on each image.*ONNX"):
            action()
    assert torch.equal(model(images), wanted)
    assert model.attachments == [handle]


def test_while_switched_off_it_is_not_merged(model):
    handle = LoRA(r=2).attach(model)
    with model.disabled(), pytest.raises(UserError, match=r"is switched off; leave disabled\(\) first"):
        handle.merge()
    assert model.attachments == [handle]


def test_merging_writes_to_no_tensor_that_was_there(model, shake):
    weight = model.network.blocks[0].attn.qkv.weight
    before = weight.detach().clone()
    handle = LoRA(r=2).attach(model)
    shake(handle)
    handle.merge()
    assert torch.equal(weight, before)
    assert not torch.equal(model.network.blocks[0].attn.qkv.weight, before)


def test_the_value_that_built_the_backbone_does_not_build_the_merged_one():
    model = Backbone(weights=False).load()
    LoRA(r=2).attach(model).merge()
    assert model.origin is None


def test_what_stands_between_layers_is_not_forgotten(model, monkeypatch):
    handle = AdaptFormer(bottleneck=4).attach(model)
    monkeypatch.setattr(AdaptFormer, "mergeable", True)
    with pytest.raises(UserError, match=r"blocks\.0\..* stands between layers"):
        handle.merge()
    assert model.attachments == [handle]


def test_a_module_of_the_networks_own_may_be_switched_off(model, images, shake):
    model.network.blocks[0].enabled = False
    handle = LoRA(r=2).attach(model)
    shake(handle)
    wanted = model(images)
    handle.merge()
    torch.testing.assert_close(model(images), wanted, rtol=0, atol=1e-5)


def test_what_required_no_gradient_before_attaching_requires_none_after_merging(model):
    model.network.blocks[0].attn.qkv.weight.requires_grad_(False)
    LoRA(r=2).attach(model).merge()
    assert not model.network.blocks[0].attn.qkv.weight.requires_grad
    assert model.network.blocks[1].attn.qkv.weight.requires_grad
