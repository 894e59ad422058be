import pytest
from torch import nn

from robustpeft.backbones import wrap
from robustpeft.pet import LinearProbe
from robustpeft.types import UserError


def test_only_the_head_is_trained(model):
    handle = LinearProbe().attach(model)
    assert handle.named_parameters().keys() == {"head.weight", "head.bias"}
    assert handle.num_parameters == handle.num_head_parameters == 5 * 32 + 5
    assert LinearProbe().count(model) == 0


def test_both_heads_of_a_distilled_network_are(build):
    model = build("deit_tiny_distilled_patch16_224")
    assert LinearProbe().attach(model).named_parameters().keys() == {
        f"{head}.{leaf}" for head in ("head", "head_dist") for leaf in ("weight", "bias")
    }


def test_a_network_without_known_seams_is_refused():
    with pytest.raises(UserError, match="Sequential belongs to no family whose seams are known"):
        LinearProbe().attach(wrap(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))))
