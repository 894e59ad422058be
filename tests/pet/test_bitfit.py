import pytest
import torch

from robustpeft.backbones import wrap
from robustpeft.pet import BitFit
from robustpeft.types import UserError


@pytest.mark.parametrize(("d", "depth"), [(24, 3), (32, 1), (8, 12)])
def test_the_count_is_the_one_in_the_docstring(build, d, depth):
    model = build(embed_dim=d, depth=depth)
    assert BitFit().count(model) == 11 * d * depth + 2 * d
    handle = BitFit().attach(model)
    assert handle.num_parameters - handle.num_head_parameters == 11 * d * depth + 2 * d


def test_it_trains_every_bias_and_the_head_and_nothing_else(build):
    model = build(depth=1)
    every_bias = {name for name, _ in model.network.named_parameters() if name.endswith("bias")}
    handle = BitFit().attach(model)
    assert handle.named_parameters().keys() == every_bias | {"head.weight"}
    assert {"norm.bias", "blocks.0.norm1.bias", "blocks.0.attn.qkv.bias"} < every_bias


def test_a_network_of_no_known_family_is_refused():
    with pytest.raises(UserError, match="belongs to no family"):
        BitFit().attach(wrap(torch.nn.Linear(2, 2)))
