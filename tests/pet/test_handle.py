import copy

import pytest
import torch

from robustpeft.pet import Full, FullLoRA, LNLoRA, LoRA, NormsAndBiases
from robustpeft.types import UserError


@pytest.fixture
def handle(model):
    return (FullLoRA(r=2) + NormsAndBiases()).attach(model)


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.network.state_dict().items()}


def test_parameters_are_those_that_require_gradients_and_only_those(model, handle):
    trained = handle.named_parameters()
    wanting = {name for name, p in model.network.named_parameters() if p.requires_grad}
    assert trained.keys() == wanting
    assert handle.num_parameters == sum(p.numel() for p in handle.parameters())
    assert {name for name in trained if handle.is_head(name)} == {"head.weight", "head.bias"}
    assert handle.num_head_parameters == 5 * 32 + 5


def test_added_names_are_those_that_were_not_there_before(build):
    model = build()
    before = model.network.state_dict().keys()
    handle = FullLoRA(r=2).attach(model)
    after = model.network.state_dict().keys()
    assert handle.added_names() == after - before
    assert not before - after
    assert model.frozen_state().keys() == before


def test_a_head_is_not_confused_with_a_name_that_begins_like_one(build):
    model = build("deit_tiny_distilled_patch16_224")
    handle = LoRA(r=2).attach(model)
    assert handle.is_head("head_dist.weight")
    assert not handle.is_head("headline.weight")


def test_loading_a_state_copies_values_and_saving_one_shares_them(build, images, shake):
    one, other = build(), build()
    first, second = LNLoRA(r=2).attach(one), LNLoRA(r=2).attach(other, seed=9)
    shake(first)
    second.load_state({name: tensor.clone() for name, tensor in first.state().items()})
    assert torch.equal(one(images), other(images))
    state = first.state()
    assert not any(t.requires_grad for t in state.values())
    state["head.bias"].add_(1.0)
    torch.testing.assert_close(one(images), other(images) + 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("head.bias"), r"missing \['head.bias'\], unexpected \[\]"),
        (lambda s: s.update(extra=torch.zeros(1)), r"unexpected \['extra'\]"),
        (lambda s: s.update({"head.bias": torch.zeros(7)}), r"head.bias is \(7,\), not \(5,\)"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_nothing_is_copied(model, change, message):
    handle = LoRA(r=2).attach(model)
    before = {name: t.clone() for name, t in handle.state().items()}
    state = {name: t + 1.0 for name, t in before.items()}
    change(state)
    with pytest.raises(UserError, match=message):
        handle.load_state(state, origin="the file")
    assert all(torch.equal(t, before[name]) for name, t in handle.state().items())


def test_frozen_dropout_stays_off_while_the_adapter_is_in_training_mode(build, images, shake):
    model = build(drop_rate=0.5, proj_drop_rate=0.5, attn_drop_rate=0.5, drop_path_rate=0.5)
    handle = LNLoRA(r=2).attach(model)
    shake(handle)
    handle.train()
    assert torch.equal(model(images), model(images))
    assert not model.network.head_drop.training
    handle.detach()

    handle = LNLoRA(r=2, dropout=0.5).attach(model)
    shake(handle)
    assert torch.equal(model(images), model(images))  # not before it is put into training mode
    handle.train()
    assert not torch.equal(model(images), model(images))
    handle.train(False)
    assert torch.equal(model(images), model(images))


@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_layer_whose_hooks_would_be_lost_is_not_replaced(model, kind):
    hook = getattr(model.network.blocks[0].attn.qkv, kind)(lambda *_: None)
    with pytest.raises(UserError, match=r"blocks.0.attn.qkv carries hooks, which LoRA\(r=2.*remove them first"):
        LoRA(r=2).attach(model)
    hook.remove()
    LoRA(r=2).attach(model).detach()


def test_disabled_answers_as_before_attaching_and_then_as_after(build, images, shake):
    model = build()
    before = model(images)
    handle = (FullLoRA(r=2) + NormsAndBiases()).attach(model)
    shake(handle)
    after = model(images)
    assert not torch.allclose(before, after, atol=1e-2)
    with model.disabled():
        assert torch.equal(model(images), before)
    assert torch.equal(model(images), after)
    with pytest.raises(ZeroDivisionError), handle.disabled():
        raise ZeroDivisionError
    assert torch.equal(model(images), after)


def test_disabled_within_disabled_stays_disabled(build, images, shake):
    model = build()
    before = model(images)
    handle = (FullLoRA(r=2) + NormsAndBiases()).attach(model)
    shake(handle)
    after = model(images)
    with model.disabled():
        model.digest()
        with handle.disabled():
            assert torch.equal(model(images), before)
        assert torch.equal(model(images), before)
    assert torch.equal(model(images), after)


def test_a_view_made_before_disabled_is_not_switched_off_by_it(model, images, shake):
    handle = (LNLoRA(r=2) + NormsAndBiases()).attach(model)
    shake(handle)
    view = model.attack_view()
    wanted = view(images)
    with model.disabled():
        assert torch.equal(view(images), wanted)


def test_a_model_that_was_moved_to_another_precision_can_be_disabled_and_detached(build, images, shake):
    model = build()
    wanted = copy.deepcopy(model).double()(images.double())
    handle = (LNLoRA(r=2) + NormsAndBiases()).attach(model)
    shake(handle)
    model.double()
    with model.disabled():
        torch.testing.assert_close(model(images.double()), wanted)
    handle.detach()
    torch.testing.assert_close(model(images.double()), wanted)
    assert {p.dtype for p in model.parameters()} == {torch.float64}


def test_detaching_while_training_leaves_no_leaf_in_training_mode(model):
    handle = LNLoRA(r=2, dropout=0.5).attach(model)
    handle.train()
    assert model.network.blocks[0].mlp.fc1.training
    handle.detach()
    assert not any(m.training for m in model.modules())


def test_detaching_restores_the_tensors_and_which_of_them_required_gradients(build, images, shake):
    model = build().train()
    for parameter in model.network.blocks[0].parameters():
        parameter.requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    state = state_of(model)
    identities = {name: id(p) for name, p in model.named_parameters()}
    handle = FullLoRA(r=2).attach(model)
    assert all(m.training for m in model.modules())
    shake(handle)
    model(images).sum().backward()
    handle.detach()
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before
    assert {name: id(p) for name, p in model.named_parameters()} == identities
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.network.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert model.attachments == []


def test_a_handle_that_was_detached_says_so(handle, tmp_path):
    handle.detach()
    for action in (handle.detach, handle.parameters, handle.state, lambda: handle.save(tmp_path)):
        with pytest.raises(UserError, match="is not attached any more"):
            action()
    with pytest.raises(UserError, match="is not attached any more"), handle.disabled():
        pass


def test_a_copy_of_the_model_has_an_adapter_of_its_own(build, images, shake):
    model = build()
    before = model(images)
    shake(LNLoRA(r=2).attach(model))
    after = model(images)
    other = copy.deepcopy(model)
    other.attachments[0].detach()
    assert torch.equal(other(images), before)
    assert torch.equal(model(images), after)


def test_a_technique_that_trains_what_is_not_there_is_refused(model, monkeypatch):
    monkeypatch.setattr(Full, "thawed", lambda self, model: {"blocks.7.norm1.weight"})
    with pytest.raises(UserError, match=r"trains 'blocks\.7\.norm1\.weight', which the network does not have"):
        Full().attach(model)
    assert model.attachments == []


def test_what_is_thawed_moves_to_storage_of_its_own_and_comes_back(model):
    network = model.network
    before = {name: p.data_ptr() for name, p in network.named_parameters()}
    handle = (LNLoRA(r=2) + NormsAndBiases()).attach(model)
    during = {name: p.data_ptr() for name, p in network.named_parameters() if name in before}
    moved = {name for name in before if during[name] != before[name]}
    assert moved == handle.named_parameters().keys() & before.keys()
    handle.detach()
    assert {name: p.data_ptr() for name, p in network.named_parameters()} == before


def test_layers_are_those_that_something_stands_for(model):
    layers = LNLoRA(r=2, components=("q", "fc1")).attach(model).layers()
    assert sorted(layers) == [f"blocks.{i}.{n}" for i in range(2) for n in ("attn.qkv", "mlp.fc1")]
    assert layers["blocks.1.mlp.fc1"] is model.network.blocks[1].mlp.fc1
