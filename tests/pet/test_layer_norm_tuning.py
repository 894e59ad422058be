import pytest

from robustpeft.pet import LayerNormTuning


@pytest.mark.parametrize(("d", "depth"), [(24, 3), (32, 1), (8, 12)])
def test_the_count_is_the_one_in_the_docstring(build, d, depth):
    model = build(embed_dim=d, depth=depth)
    assert LayerNormTuning().count(model) == 4 * d * depth + 2 * d
    handle = LayerNormTuning().attach(model)
    assert handle.num_parameters - handle.num_head_parameters == 4 * d * depth + 2 * d


def test_it_trains_the_norms_and_the_head_and_nothing_else(build):
    handle = LayerNormTuning().attach(build(depth=1))
    layers = ("blocks.0.norm1", "blocks.0.norm2", "norm", "head")
    assert handle.named_parameters().keys() == {f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")}
