import pytest
import torch
from torch import nn

from robustpeft.auditing.specimens.leaves import ACTIVATIONS, LINEAR, exchange
from robustpeft.errors import UserError


def test_every_layer_of_the_type_and_no_other_is_exchanged(model, images):
    zeros = exchange(model, LINEAR, lambda layer: nn.Sequential(layer, nn.Threshold(1e9, 0.0)))
    assert not zeros(images).any()
    assert isinstance(zeros.linear, nn.Sequential)
    assert isinstance(zeros.conv, nn.Conv2d)
    assert model(images).any()
    assert zeros.head[0].weight.data_ptr() == model.head.weight.data_ptr()
    assert not zeros.head[1].training


def test_a_subclass_is_left_alone_and_none_at_all_is_an_error():
    attention = nn.MultiheadAttention(4, 1)
    with pytest.raises(UserError, match="exchanges layers of type Linear; MultiheadAttention has none"):
        exchange(attention, LINEAR, lambda layer: layer)
    with pytest.raises(UserError, match="GELU, ReLU, SiLU, Tanh; Linear has none"):
        exchange(nn.Linear(1, 1), ACTIVATIONS, lambda layer: layer)
    assert torch.is_tensor(attention.in_proj_weight)
