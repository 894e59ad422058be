import torch
from torch import nn

from robustpeft.backbones import wrap
from robustpeft.pet import Full


def test_every_parameter_is_trained_and_nothing_is_added(model):
    total = sum(p.numel() for p in model.network.parameters())
    handle = Full().attach(model)
    assert handle.num_parameters == total
    assert handle.added_names() == frozenset()
    assert Full().count(model) == total - handle.num_head_parameters == total - (5 * 32 + 5)


def test_in_training_mode_the_whole_network_is_in_it(build):
    model = build(drop_rate=0.5)
    handle = Full().attach(model)
    handle.train()
    assert all(m.training for m in model.modules())
    handle.train(False)
    assert not any(m.training for m in model.modules())


def test_a_network_of_ones_own_can_be_tuned_and_undone_batch_statistics_included(images):
    torch.manual_seed(0)
    model = wrap(nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))).eval()
    before, logits = {n: t.clone() for n, t in model.state_dict().items()}, model(images)
    handle = Full().attach(model)
    handle.train()
    optimizer = torch.optim.SGD(handle.parameters(), lr=0.5)
    model(images).square().sum().backward()
    optimizer.step()
    assert not torch.equal(model(images), logits)
    with model.disabled():
        assert torch.equal(model(images), logits)
    handle.detach()
    assert torch.equal(model(images), logits)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_without_seams_all_of_it_counts():
    model = wrap(nn.Linear(4, 2))
    assert Full().count(model) == 10
