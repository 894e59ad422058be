import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from robustpeft.pet.bottleneck import (
    Bottleneck,
    BottleneckOptions,
    check_bottleneck,
    check_probability,
    count_bottleneck,
)
from robustpeft.types import UserError


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_values(module, seed=3):
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed + i))
    return module


@pytest.mark.parametrize(("activation", "function"), [("gelu", nn.functional.gelu), ("relu", torch.relu)])
@pytest.mark.parametrize("beside", [False, True])
def test_the_output_is_the_formula(activation, function, beside):
    module = random_values(Bottleneck(6, BottleneckOptions(4, activation, scale=0.3), 0))
    tokens, stream = draw(2, 5, 6), draw(2, 5, 6, seed=1)
    z = stream if beside else tokens
    hidden = function(z @ module.down.weight.T + module.down.bias)
    wanted = tokens + 0.3 * (hidden @ module.up.weight.T + module.up.bias)
    torch.testing.assert_close(module(tokens, stream) if beside else module(tokens), wanted)


def test_a_scale_per_channel_multiplies_the_increment_with_its_bias():
    module = random_values(Bottleneck(6, BottleneckOptions(4, "gelu", scale=0.3, channel_scale=True), 0)).eval()
    tokens = draw(2, 5, 6)
    hidden = nn.functional.gelu(tokens @ module.down.weight.T + module.down.bias)
    increment = hidden @ module.up.weight.T + module.up.bias
    torch.testing.assert_close(module(tokens), tokens + 0.3 * module.channel_scale * increment)
    assert torch.equal(Bottleneck(6, BottleneckOptions(4, "gelu", channel_scale=True), 0).channel_scale, torch.ones(6))
    assert Bottleneck(6, BottleneckOptions(4, "gelu"), 0).channel_scale is None


@pytest.mark.parametrize(("init", "sigma", "largest"), [("houlsby", 0.0088, 0.02), ("normal", 0.02, 1.0)])
def test_other_starts_are_normal_in_both_matrices(init, sigma, largest):
    """A normal of sigma 0.01 that is cut off at two sigma has a standard deviation of 0.0088."""
    module = Bottleneck(100, BottleneckOptions(80, "gelu", init=init), 0)
    for matrix in (module.down.weight, module.up.weight):
        assert abs(matrix.mean()) < 0.05 * sigma
        assert matrix.std().item() == pytest.approx(sigma, rel=0.05)
        assert matrix.abs().max() <= largest
        assert matrix.abs().max() > 1.9 * 0.01
    assert not module.down.bias.any()
    assert not module.up.bias.any()
    assert not torch.equal(module.down.weight, module.up.weight.T)
    twice = Bottleneck(100, BottleneckOptions(80, "gelu", init=init), 0)
    assert torch.equal(module.up.weight, twice.up.weight)


def test_a_dropped_path_takes_the_whole_increment_of_an_image_and_the_others_make_up_for_it():
    module = random_values(Bottleneck(6, BottleneckOptions(4, "gelu", drop_path=0.25), 0))
    tokens = draw(400, 5, 6)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = module(tokens) - tokens
    module.eval()
    whole = module(tokens) - tokens
    gone = (dropped == 0).flatten(1).all(1)
    assert 0.15 < gone.float().mean() < 0.35
    torch.testing.assert_close(dropped[~gone], whole[~gone] / 0.75, rtol=1e-4, atol=1e-4)


def test_it_starts_as_the_identity_with_only_the_down_projection_alive():
    module = Bottleneck(100, BottleneckOptions(30, "gelu"), 0)
    assert 0.09 < module.down.weight.abs().max() <= 0.1
    assert not any(p.any() for p in (module.down.bias, module.up.weight, module.up.bias))
    tokens = draw(2, 3, 100)
    assert torch.equal(module(tokens), tokens)
    assert torch.equal(module(tokens, tokens), tokens)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_every_tensor_has_a_gradient_within_two_steps(activation):
    """With both projections at 0, as in a widely used implementation, only the last bias would ever move."""
    module, tokens = Bottleneck(6, BottleneckOptions(4, activation), 0), draw(8, 6)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    alive = set()
    for _ in range(2):
        optimizer.zero_grad()
        (module(tokens) - draw(8, 6, seed=1)).square().sum().backward()
        alive |= {name for name, p in module.named_parameters() if p.grad.any()}
        optimizer.step()
    assert alive == {"down.weight", "down.bias", "up.weight", "up.bias"}


def test_the_start_follows_the_seed_and_leaves_the_global_random_state_alone():
    def start(seed, global_seed):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        weight = Bottleneck(6, BottleneckOptions(4, "gelu"), seed).down.weight
        assert torch.equal(torch.get_rng_state(), before)
        return weight

    assert torch.equal(start(1, 2), start(1, 3))
    assert not torch.equal(start(1, 2), start(2, 2))


def test_dropout_acts_in_training_only():
    module, tokens = random_values(Bottleneck(6, BottleneckOptions(8, "relu", dropout=0.5), 0)), draw(20, 6)
    assert not torch.equal(module(tokens), module(tokens))
    module.eval()
    assert torch.equal(module(tokens), module(tokens))


def test_switched_off_it_returns_the_very_tensor():
    module, tokens = random_values(Bottleneck(6, BottleneckOptions(4, "gelu"), 0)), draw(2, 6)
    module.enabled = False
    assert module(tokens) is tokens
    assert module(tokens, draw(2, 6, seed=1)) is tokens


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_in_a_network_of_another_precision_it_stays_float32_and_answers_in_the_networks(dtype):
    module, tokens = random_values(Bottleneck(6, BottleneckOptions(4, "gelu"), 0)), draw(2, 6)
    found = module(tokens.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), module(tokens), rtol=0.05, atol=0.05)
    assert {p.dtype for p in module.parameters()} == {torch.float32}


@given(width=st.integers(1, 20), bottleneck=st.integers(1, 20), channel_scale=st.booleans())
@settings(max_examples=20, deadline=None)
def test_the_count_is_what_the_module_holds(width, bottleneck, channel_scale):
    module = Bottleneck(width, BottleneckOptions(bottleneck, "gelu", channel_scale=channel_scale), 0)
    assert count_bottleneck(width, bottleneck, channel_scale=channel_scale) == sum(
        p.numel() for p in module.parameters()
    )


@pytest.mark.parametrize("bottleneck", [0, -3])
def test_a_bottleneck_without_channels_is_refused(bottleneck):
    check_bottleneck(1)
    with pytest.raises(UserError, match=f"bottleneck must be at least 1; got {bottleneck}"):
        check_bottleneck(bottleneck)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "gleu"}, "unknown activation 'gleu'; did you mean 'gelu'"),
        ({"init": "houlsbi"}, "unknown init 'houlsbi'; did you mean 'houlsby'"),
    ],
)
def test_what_is_unknown_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        check_bottleneck(1, **arguments)


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_what_is_no_probability_of_dropping_is_refused(value):
    check_probability("drop_path", 0.0)
    with pytest.raises(UserError, match=rf"drop_path must be in \[0, 1\); got {value}"):
        check_probability("drop_path", value)
