import pytest
import torch
from torch import nn

from robustpeft.auditing.specimens.branch import Branch, BranchFlaw, adapted
from robustpeft.errors import UserError
from robustpeft.types import Attackable, attack_view


def branch(**flaw):
    torch.manual_seed(0)
    return Branch(nn.Linear(5, 4), BranchFlaw(**flaw), torch.Generator().manual_seed(0))


def test_the_branch_is_a_fifth_of_the_weight():
    layer = branch()
    assert (layer.up @ layer.down).norm().item() == pytest.approx(0.2 * layer.layer.weight.norm().item(), rel=1e-4)


@pytest.mark.parametrize("flaw", [{}, {"scaling": 0.5}, {"scaling": 0.0}, {"enabled": False}])
def test_what_is_folded_answers_as_what_is_not(flaw):
    layer, values = branch(**flaw), torch.randn(3, 5)
    scale = 0.0 if flaw.get("enabled") is False else flaw.get("scaling", 1.0)
    weight = layer.layer.weight + scale * layer.up @ layer.down
    assert torch.allclose(layer(values), values @ weight.T + layer.layer.bias, atol=1e-6)
    assert torch.allclose(layer.folded()(values), layer(values), atol=1e-6)
    assert layer.folded().weight.device.type == "cpu"


def test_a_layer_without_bias_folds():
    layer = Branch(nn.Linear(5, 4, bias=False), BranchFlaw(), torch.Generator())
    assert layer.folded().bias is None
    assert torch.allclose(layer.folded()(torch.ones(1, 5)), layer(torch.ones(1, 5)), atol=1e-6)


def test_it_is_attackable_and_can_be_switched_off(model, images):
    net = adapted(model)
    assert isinstance(net, Attackable)
    logits = net(images)
    assert not torch.allclose(logits, model(images), atol=1e-3)
    assert torch.allclose(attack_view(net)(images), logits, atol=1e-5)
    with net.disabled():
        assert torch.equal(net(images), model(images))
        with net.disabled():
            pass
        assert torch.equal(net(images), model(images))
    assert torch.equal(net(images), logits)
    assert net.features(images).shape == (6, 12)


def test_what_was_added_is_known_by_name(model):
    net = adapted(model)
    added = net.attachments[0].added_names()
    assert added == {"linear.down", "linear.up", "head.down", "head.up"}
    assert added < net.network.state_dict().keys()
    assert all(net.get_parameter(f"network.{name}").requires_grad for name in added)


def test_no_embedding_is_an_error():
    with pytest.raises(UserError, match="Sequential has no features"):
        adapted(nn.Sequential(nn.Linear(2, 2))).features(torch.zeros(1, 2))
