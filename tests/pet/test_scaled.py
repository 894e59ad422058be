import pytest
import timm.layers
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from robustpeft.pet.scaled import Scaled, count_scaled
from robustpeft.types import UserError

CPU = torch.device("cpu")


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layers():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        norm = nn.LayerNorm(6, eps=1e-3)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        return {
            "linear": (nn.Linear(6, 9), draw(2, 5, 6), (9,)),
            "linear without bias": (nn.Linear(6, 9, bias=False), draw(2, 5, 6), (9,)),
            "norm": (norm, 0.1 * draw(2, 5, 6), (6,)),
            "norm of timm": (timm.layers.LayerNorm(6), draw(2, 5, 6), (6,)),
            "norm without affine": (nn.LayerNorm(6, elementwise_affine=False), draw(2, 5, 6), (6,)),
            "patches": (nn.Conv2d(3, 7, 4, stride=4), draw(2, 3, 8, 8), (7, 1, 1)),
            "overlapping": (nn.Conv2d(4, 8, 3, 2, 1, 1, 2, bias=False), draw(2, 4, 9, 9), (8, 1, 1)),
            "dilated": (nn.Conv2d(4, 8, 3, dilation=2, padding="same"), draw(2, 4, 9, 9), (8, 1, 1)),
        }


LAYERS = pytest.mark.parametrize("name", layers())


@LAYERS
def test_the_output_is_the_formula_and_so_is_what_is_folded(name):
    base, inputs, shape = layers()[name]
    scaled = Scaled(base, name, 0.3, 1, CPU)
    gamma, beta = scaled.adapter.gamma.reshape(shape), scaled.adapter.beta.reshape(shape)
    wanted = gamma * base(inputs) + beta
    torch.testing.assert_close(scaled(inputs), wanted)
    folded = scaled.folded()
    torch.testing.assert_close(folded(inputs), wanted, rtol=1e-5, atol=1e-5)
    assert not list(folded.parameters())
    assert count_scaled(base, name) == count_scaled(scaled, name) == 2 * gamma.numel()


@LAYERS
def test_switched_off_it_is_the_layer_bit_for_bit(name):
    base, inputs, _ = layers()[name]
    scaled = Scaled(base, name, 0.3, 1, CPU)
    scaled.enabled = False
    assert torch.equal(scaled(inputs), base(inputs))
    assert torch.equal(scaled.folded()(inputs), base(inputs))


@LAYERS
def test_the_layer_keeps_its_parameters_under_their_names(name):
    base, _, _ = layers()[name]
    found = dict(Scaled(base, name, 0.3, 1, CPU).named_parameters())
    assert found.keys() == {n for n, _ in base.named_parameters()} | {"adapter.gamma", "adapter.beta"}
    assert all(found[n] is p for n, p in base.named_parameters())


@LAYERS
def test_what_is_folded_does_not_move_with_the_layer(name):
    base, inputs, _ = layers()[name]
    scaled = Scaled(base, name, 0.3, 1, CPU)
    folded = scaled.folded()
    before = folded(inputs)
    with torch.no_grad():
        for parameter in scaled.parameters():
            parameter.add_(1.0)
    assert torch.equal(folded(inputs), before)


@given(std=st.floats(0.0, 0.5), seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_start_has_the_mean_and_the_deviation_that_are_said(std, seed):
    adapter = Scaled(nn.Linear(1, 2000), "here", std, seed, CPU).adapter
    for values, mean in ((adapter.gamma, 1.0), (adapter.beta, 0.0)):
        assert values.mean().item() == pytest.approx(mean, abs=0.1 * std + 1e-6)
        assert values.std().item() == pytest.approx(std, rel=0.1, abs=1e-7)
    assert std < 1e-6 or not torch.allclose(adapter.gamma - 1.0, adapter.beta)


def test_the_start_follows_the_seed_and_leaves_the_global_random_state_alone():
    def start(seed, global_seed):
        torch.manual_seed(global_seed)
        layer = nn.Linear(3, 5)
        before = torch.get_rng_state()
        adapter = Scaled(layer, "here", 0.02, seed, CPU).adapter
        assert torch.equal(torch.get_rng_state(), before)
        return adapter.gamma, adapter.beta

    for one, same, other in zip(start(1, 2), start(1, 3), start(2, 2), strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_in_a_network_of_another_precision_it_stays_float32_and_answers_in_the_networks(dtype):
    base, inputs = nn.Linear(6, 9).to(dtype), draw(2, 6).to(dtype)
    scaled = Scaled(base, "here", 0.3, 0, CPU)
    assert scaled.adapter.gamma.dtype == torch.float32
    assert scaled(inputs).dtype == scaled.folded()(inputs).dtype == dtype
    torch.testing.assert_close(scaled.folded()(inputs), scaled(inputs), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    "layer",
    [
        nn.GroupNorm(1, 4),
        nn.LayerNorm((4, 4)),
        timm.layers.LayerNorm2d(4),
        timm.layers.StdConv2d(3, 4, 3),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_of_other_kinds_are_refused(layer):
    with pytest.raises(UserError, match=f"stem.norm is a {type(layer).__name__}; ssf scales what"):
        Scaled(layer, "stem.norm", 0.02, 0, CPU)
