import pytest
import torch
from torch import nn

from robustpeft.auditing.checks.fingerprint import fingerprint


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()


def test_nothing_changed_is_no_difference(model):
    assert fingerprint(model).differences(fingerprint(model)) == []


def double_a_weight(model):
    model[0].weight.data.mul_(2)


def count(model):
    model[1].num_batches_tracked.add_(1)


def leave_a_gradient(model):
    model[0].bias.grad = torch.ones(2)


def train(model):
    model[1].train()


def draw(model):
    torch.rand(1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (double_a_weight, "parameters 0.weight"),
        (count, "buffers 1.num_batches_tracked"),
        (leave_a_gradient, "gradients 0.bias"),
        (train, "the training mode of 1"),
        (draw, "the global random state"),
    ],
)
def test_every_change_is_named(model, change, said):
    before = fingerprint(model)
    change(model)
    assert before.differences(fingerprint(model)) == [said]
