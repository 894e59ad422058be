import copy
import dataclasses

import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustpeft.backbones import wrap
from robustpeft.pet import SSF
from robustpeft.types import UserError

FAMILIES = (
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "vit_base_patch16_clip_224",
)


def reference(network, inputs, state):
    """Return the logits of a bare network whose layers are scaled and shifted by this state, written down by hand."""

    def scaled(path, output):
        return state[f"{path}.adapter.gamma"] * output + state[f"{path}.adapter.beta"]

    patches = scaled("patch_embed.proj", network.patch_embed.proj(inputs).permute(0, 2, 3, 1))
    x = network._pos_embed(network.patch_embed.norm(patches.flatten(1, 2)))
    x = scaled("norm_pre", network.norm_pre(x)) if "norm_pre.adapter.gamma" in state else x
    for i, block in enumerate(network.blocks):
        b = f"blocks.{i}"
        qkv = scaled(f"{b}.attn.qkv", block.attn.qkv(scaled(f"{b}.norm1", block.norm1(x))))
        q, k, v = qkv.unflatten(2, (3, block.attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        heads = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1) @ v
        x = x + block.ls1(scaled(f"{b}.attn.proj", block.attn.proj(heads.transpose(1, 2).flatten(2))))
        hidden = block.mlp.act(scaled(f"{b}.mlp.fc1", block.mlp.fc1(scaled(f"{b}.norm2", block.norm2(x)))))
        x = x + block.ls2(scaled(f"{b}.mlp.fc2", block.mlp.fc2(hidden)))
    return network.forward_head(scaled("norm", network.norm(x)))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_logits_are_those_written_down_by_hand(build, images, shake, family):
    model = build(family)
    bare, before = copy.deepcopy(model.network), model(images)
    handle = SSF().attach(model)
    shake(handle)
    state = handle.state()
    with torch.no_grad():
        for name in (n for n in state if handle.is_head(n)):
            bare.get_parameter(name).copy_(state[name])
    wanted = reference(bare, model.normalize(images), state)
    assert (wanted - before).abs().max() > 0.01
    torch.testing.assert_close(model(images), wanted, rtol=1e-4, atol=1e-4)


@given(d=st.sampled_from([8, 24, 40]), depth=st.integers(1, 4))
@settings(max_examples=6, deadline=None)
def test_the_count_is_the_one_in_the_docstring(build, d, depth):
    model = build(embed_dim=d, depth=depth)
    assert SSF().count(model) == 22 * d * depth + 4 * d
    handle = SSF().attach(model)
    assert handle.num_parameters - handle.num_head_parameters == 22 * d * depth + 4 * d
    assert SSF().count(model) == 22 * d * depth + 4 * d


def test_it_starts_near_the_identity_and_at_it_where_asked(build, images):
    model, exact = build(), build()
    before = model(images)
    state = SSF().attach(model).state()
    gammas = torch.cat([tensor for name, tensor in state.items() if name.endswith("gamma")])
    betas = torch.cat([tensor for name, tensor in state.items() if name.endswith("beta")])
    assert gammas.mean().item() == pytest.approx(1.0, abs=0.005)
    assert gammas.std().item() == pytest.approx(0.02, rel=0.1)
    assert betas.mean().item() == pytest.approx(0.0, abs=0.005)
    assert betas.std().item() == pytest.approx(0.02, rel=0.1)
    assert not torch.equal(state["blocks.0.norm1.adapter.gamma"], state["blocks.1.norm1.adapter.gamma"])
    assert not SSF().identity_at_start
    assert SSF(init_std=0.0).identity_at_start
    SSF(init_std=0.0).attach(exact)
    assert torch.equal(exact(images), before)


def test_the_view_under_attack_has_nothing_left_to_compute(build, images, shake):
    model = build()
    bare = build()
    shake(SSF().attach(model))
    view = model.attack_view()
    torch.testing.assert_close(view(images), model(images), rtol=1e-4, atol=1e-4)
    assert not any("adapter" in name for name, _ in view.named_modules())
    numbers = [t.numel() for t in (*view.parameters(), *view.buffers())]
    assert sum(numbers) == sum(t.numel() for t in (*bare.parameters(), *bare.buffers()))


@pytest.mark.parametrize(
    ("name", "options"), [("convit_tiny", {"local_up_to_layer": 1}), ("vit_small_patch16_dinov3", {})]
)
def test_other_families_have_their_layers_scaled_too(build, images, shake, name, options):
    model = build(name, **options)
    before = model(images)
    handle = SSF(init_std=0.0).attach(model)
    torch.testing.assert_close(model(images), before)  # how ConViT rounds depends on which parameters are frozen
    shake(handle)
    torch.testing.assert_close(model.attack_view()(images), model(images), rtol=1e-4, atol=1e-4)
    assert (model(images) - before).abs().max() > 1e-3
    maps = {site.module for site in model.seams.sites}
    assert {n.removesuffix(".adapter.gamma") for n in handle.added_names() if n.endswith("gamma")} > maps


def test_merged_for_good_it_answers_the_same_with_layers_of_the_old_kinds(build, images, shake):
    model = build("vit_base_patch16_clip_224")
    kinds = {name: type(module) for name, module in model.named_modules()}
    handle = SSF().attach(model)
    shake(handle)
    before = model(images)
    handle.merge()
    torch.testing.assert_close(model(images), before, rtol=1e-5, atol=1e-5)
    assert {name: type(module) for name, module in model.named_modules()} == kinds


def test_layers_that_are_never_called_are_not_scaled_in_silence(model):
    model.seams = dataclasses.replace(model.seams, absent="its attention never calls qkv")
    with pytest.raises(UserError, match="ssf cannot scale every layer of this vit: its attention never calls qkv"):
        SSF().attach(model)
    assert model.attachments == []


def test_queries_and_keys_are_normalised_by_layers_that_are_scaled_too(build, images, shake):
    model = build(qk_norm=True)
    before = model(images)
    handle = SSF().attach(model)
    assert "blocks.0.attn.q_norm.adapter.gamma" in handle.added_names()
    shake(handle)
    torch.testing.assert_close(model.attack_view()(images), model(images), rtol=1e-4, atol=1e-4)
    handle.detach()
    assert torch.equal(model(images), before)


@pytest.mark.parametrize("init_std", [-0.1, float("nan"), float("inf")])
def test_what_means_nothing_is_refused(init_std):
    with pytest.raises(UserError, match=f"init_std must be at least 0; got {init_std}"):
        SSF(init_std=init_std)


def test_a_network_of_no_known_family_is_refused():
    with pytest.raises(UserError, match="belongs to no family"):
        SSF().attach(wrap(torch.nn.Linear(2, 2)))
