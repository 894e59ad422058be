import pytest
import torch

from robustpeft.auditing.specimens import adapters
from robustpeft.auditing.specimens.branch import adapted


@pytest.mark.parametrize("name", ["adapter_scaled_to_zero", "adapter_disabled"])
def test_an_adapter_that_does_nothing_is_there(model, images, name):
    net = getattr(adapters, name)(model)
    assert net.attachments[0].added_names()
    assert torch.equal(net(images), model(images))
    assert torch.allclose(net.attack_view()(images), model(images), atol=1e-6)
    with net.disabled():
        assert torch.equal(net(images), model(images))


def test_no_gradient_flows_through_the_branch(model, images, slope):
    net, sound = adapters.adapter_blocks_gradient(model), adapted(model)
    logits, right = slope(sound, images)
    for form in (net, net.attack_view()):
        found, gradient = slope(form, images)
        assert torch.allclose(found, logits, atol=1e-6)
        assert gradient.any()
        assert not torch.allclose(gradient, right, rtol=0.01, atol=1e-4)


def test_the_view_has_the_branch_with_the_wrong_sign(model, images):
    net = adapters.view_folded_wrongly(model)
    assert torch.equal(net(images), adapted(model)(images))
    branch, view = net.network.head, net.attack_view()
    assert torch.allclose(view.head.weight, branch.layer.weight - branch.up @ branch.down, atol=1e-6)


def test_the_view_is_the_model_of_before(model, images):
    net = adapters.view_without_adapter(model)
    logits = net(images)
    assert torch.equal(logits, adapted(model)(images))
    assert torch.allclose(net.attack_view()(images), model(images), atol=1e-6)
    assert torch.equal(net(images), logits)  # asking for the view switches nothing off
