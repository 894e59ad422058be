import pytest
import torch
from torch import nn

from robustpeft.pet import Adapter
from robustpeft.pet.in_place import all_biases, biases_of_maps, count_named, norm_parameters, own_parameters

FAMILIES = ("vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "vit_base_patch16_clip_224")


@pytest.mark.parametrize("family", FAMILIES)
def test_all_biases_are_those_of_maps_and_norms(build, family):
    model = build(family)
    of_norms = {name for name in norm_parameters(model) if name.endswith(".bias")}
    assert of_norms
    assert all_biases(model) == biases_of_maps(model) | of_norms
    assert not biases_of_maps(model) & of_norms


def test_a_bias_that_stands_apart_from_its_map_is_one_and_a_table_is_none(build):
    """So the queries and values of EVA have theirs, and the windows of Swin their tables."""
    model = build(depth=1)
    before = all_biases(model)
    attention = model.network.blocks[0].attn
    attention.q_bias = nn.Parameter(torch.zeros(32))
    attention.relative_position_bias_table = nn.Parameter(torch.zeros(9, 2))
    assert all_biases(model) - before == {"blocks.0.attn.q_bias"}


def test_norms_outside_the_blocks_count_too(build):
    names = norm_parameters(build("vit_base_patch16_clip_224", depth=1))
    paths = ("norm_pre", "blocks.0.norm1", "blocks.0.norm2", "norm")
    assert names == {f"{path}.{leaf}" for path in paths for leaf in ("weight", "bias")}


def test_the_head_is_not_counted_and_has_no_bias_among_all(model):
    assert "head.bias" not in all_biases(model)
    assert count_named(model, {"head.bias", "head.weight", "norm.bias", "cls_token"}) == 32 + 32


def test_what_is_attached_is_not_ones_own(build):
    model = build()
    names, biases = own_parameters(model), all_biases(model)
    Adapter("post", bottleneck=2).attach(model)
    assert own_parameters(model) == names
    assert all_biases(model) == biases
