import json

import pytest
import torch

from robustpeft.pet import LoRA, load_adapter
from robustpeft.types import COMPONENTS, UserError

BLOCK_MAPS = ("q", "k", "v", "proj", "fc1", "fc2")


def test_by_default_it_adapts_q_and_v_of_every_block_also_those_with_two_digits(build):
    handle = LoRA(r=2).attach(build(depth=12))
    added = {name for name in handle.named_parameters() if ".adapter." in name}
    assert added == {f"blocks.{i}.attn.qkv.adapter.{m}.{c}" for i in range(12) for m in "AB" for c in "qv"}


def test_the_count_is_the_one_in_the_docstring(build):
    model = build(embed_dim=24, depth=3)
    assert LoRA(r=4, components=BLOCK_MAPS).count(model) == 18 * 4 * 24 * 3


@pytest.mark.parametrize("component", COMPONENTS)
def test_adapting_one_component_changes_the_answer_and_adds_only_its_parameters(model, images, shake, component):
    before = model(images)
    handle = LoRA(r=2, components=(component,)).attach(model)
    added = {n.split(".adapter.")[1] for n in handle.added_names()}
    assert added == {f"A.{component}", f"B.{component}"}
    with torch.no_grad():
        for name in handle.added_names():
            model.network.get_parameter(name).normal_(generator=torch.Generator().manual_seed(0))
    assert (model(images) - before).abs().max() > 1e-3


def test_q_k_and_v_of_a_fused_layer_change_their_own_third(model):
    layer = model.network.get_submodule("blocks.0.attn.qkv")
    handle = LoRA(r=2, components=("k",)).attach(model)
    tokens = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0))
    matrix = model.network.get_parameter("blocks.0.attn.qkv.adapter.B.k")
    with torch.no_grad():
        matrix.fill_(1.0)
    difference = model.network.get_submodule("blocks.0.attn.qkv")(tokens) - layer(tokens)
    assert (difference[..., 32:64].abs() > 0).all()
    assert not difference[..., :32].any()
    assert not difference[..., 64:].any()
    handle.detach()


def test_it_is_declared_mergeable_and_its_view_holds_no_branch(model):
    LoRA(r=2, components=COMPONENTS).attach(model)
    assert LoRA.mergeable
    assert not any("adapter" in name for name, _ in model.attack_view().named_modules())


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (LoRA(components=("fc3",)), r"unknown component 'fc3'; did you mean 'fc2'\?"),
        (LoRA(components=()), "match nothing"),
        (LoRA(r=33), "r = 33 is larger than the 32"),
    ],
)
def test_what_does_not_fit_the_network_is_refused_and_nothing_is_attached(model, method, message):
    with pytest.raises(UserError, match=message):
        method.attach(model)
    assert model.attachments == []


def test_a_rank_of_zero_is_refused_at_once():
    with pytest.raises(UserError, match="r must be at least 1; got 0"):
        LoRA(r=0)


def test_the_head_can_be_adapted_like_any_other_map(build, images, shake, tmp_path):
    model = build()
    head = model.network.head.weight.detach().clone()
    with torch.no_grad():
        features = model.features(images)
        before = model(images)
    method = LoRA(r=3, alpha=6.0, components=("q", "head"))
    handle = method.attach(model)
    assert torch.equal(model(images), before)
    trained = handle.named_parameters()
    assert {name for name in trained if name.startswith("head")} == {"head.adapter.A.head", "head.adapter.B.head"}
    assert handle.num_head_parameters == 0
    assert handle.state().keys() == trained.keys() | {"head.weight", "head.bias"}  # those it belongs to, and no more
    assert handle.num_parameters == method.count(model) == 2 * 3 * (32 + 32) + 3 * (32 + 5)
    branch = {name.rsplit(".", 2)[1]: p for name, p in trained.items() if name.startswith("head")}
    with torch.no_grad():
        branch["B"].normal_(generator=torch.Generator().manual_seed(3))
        wanted = before + 2.0 * features @ branch["A"].T @ branch["B"].T
    torch.testing.assert_close(model(images), wanted)
    shake(handle)
    handle.save(tmp_path)
    other = build()
    with torch.no_grad():
        other.network.head.weight.normal_()
        other.network.head.bias.normal_()
        foreign = other.network.head.weight.clone()
    again = load_adapter(other, tmp_path)
    torch.testing.assert_close(other(images), model(images), rtol=0, atol=0)
    assert not other.network.head.weight.requires_grad
    again.detach()
    assert torch.equal(other.network.head.weight, foreign)
    handle.detach()
    assert torch.equal(model.network.head.weight, head)
    assert torch.equal(model(images), before)


def test_an_adapted_head_is_merged_and_is_not_written_as_pefts(build, images, shake, tmp_path):
    model = build()
    handle = LoRA(r=2, components=("v", "head")).attach(model)
    shake(handle)
    handle.save(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["peft_type"] == "ROBUSTPEFT_LORA"
    with torch.no_grad():
        wanted = model(images)
    handle.merge()
    torch.testing.assert_close(model(images), wanted, rtol=0, atol=1e-5)
    assert type(model.network.head) is torch.nn.Linear


def test_what_means_nothing_is_refused():
    with pytest.raises(UserError, match="alpha must be positive; got -1"):
        LoRA(alpha=-1.0)
