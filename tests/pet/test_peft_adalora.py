import copy

import pytest
import torch
from torch.nn import functional as F

from robustpeft.errors import UserError
from robustpeft.pet import PEFT, LNLoRA, NormsAndBiases
from robustpeft.types import derive_seed

peft = pytest.importorskip("peft")

LAYERS = ["blocks.0.attn.qkv", "blocks.0.mlp.fc1", "blocks.1.mlp.fc2"]
OPTIONS = {"init_r": 4, "target_r": 2, "tinit": 2, "tfinal": 3, "target_modules": LAYERS}
STEPS = 12
METHOD = PEFT("adalora", OPTIONS)


def of_kind(network, kind):
    return [p for name, p in network.named_parameters() if kind in name]


def learn(network, images, done):
    """Leave gradients that differ from step to step."""
    for parameter in network.parameters():
        parameter.grad = None
    F.cross_entropy(network(images + 0.1 * done), torch.arange(len(images)) % 3).backward()


def descend(network):
    with torch.no_grad():
        for parameter in of_kind(network, "lora_"):
            parameter.sub_(0.5 * parameter.grad)


def follow(handle, images, steps):
    for done in steps:
        learn(handle.model.network, images, done)
        descend(handle.model.network)
        handle.companion.after_step(done, STEPS)


@pytest.mark.parametrize("every", [1, 4])  # with 4 the last move is not at one of its steps, and is made all the same
def test_rank_moves_step_by_step_as_in_pefts_own_model(build, images, every):
    model, options = build(), OPTIONS | {"deltaT": every}
    network = copy.deepcopy(model.network)
    handle = PEFT("adalora", options).attach(model)
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(0, "peft"))
        theirs = peft.get_peft_model(network, peft.AdaLoraConfig(**options, total_step=STEPS)).eval()
    model.network.eval()
    for done in range(1, STEPS + 1):
        follow(handle, images, [done])
        learn(theirs, images, done)
        descend(theirs)
        theirs.base_model.update_and_allocate(done)
        for mine, other in zip(of_kind(model.network, "lora_"), of_kind(theirs, "lora_"), strict=True):
            torch.testing.assert_close(mine, other, rtol=0.0, atol=1e-6)
    assert sum(int(e.count_nonzero()) for e in of_kind(model.network, "lora_E")) == 2 * len(LAYERS)


@torch.no_grad()
def test_the_penalty_is_the_distance_of_the_factors_from_orthonormal_ones(build):
    handle = METHOD.attach(build())
    weights = [p if p.shape[0] == 4 else p.T for kind in ("lora_A", "lora_B") for p in of_kind(handle.model, kind)]
    distances = [float((w @ w.T - torch.eye(4)).square().sum().sqrt()) for w in weights]
    assert float(handle.companion.penalty()) == pytest.approx(0.5 * sum(distances) / 6, rel=1e-5)
    for factor in of_kind(handle.model, "lora_A") + of_kind(handle.model, "lora_B"):
        factor.copy_(torch.eye(*factor.shape))
    assert float(handle.companion.penalty()) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("stop", range(1, STEPS))
def test_it_goes_on_from_its_state_as_if_never_stopped(build, images, stop):
    whole, first, second = (METHOD.attach(build(), seed=1) for _ in range(3))
    follow(whole, images, range(1, STEPS + 1))
    follow(first, images, range(1, stop + 1))
    second.load_state(first.state())
    second.companion.load_state({name: tensor.clone() for name, tensor in first.companion.state().items()})
    follow(second, images, range(stop + 1, STEPS + 1))
    assert all(torch.equal(whole.state()[name], tensor) for name, tensor in second.state().items())


def test_the_constant_that_peft_calls_a_parameter_is_not_trained_and_not_saved(build):
    handle = METHOD.attach(build())
    assert not any("ranknum" in name for name in handle.named_parameters())
    sizes = {"qkv": 32 + 96, "fc1": 32 + 128, "fc2": 128 + 32}
    assert METHOD.count(handle.model) == sum(4 * size + 4 for size in sizes.values())


def test_too_few_steps_are_refused_with_what_was_asked(build, images):
    handle = METHOD.attach(build())
    learn(handle.model.network, images, 1)
    with pytest.raises(UserError, match=r"tinit 2 and tfinal 3 for 5 steps of tuning"):
        handle.companion.after_step(1, 5)


def test_beside_others_it_is_the_only_companion_and_two_are_refused(build):
    handle = (METHOD + NormsAndBiases()).attach(build())
    assert handle.companion is handle.companion is not None
    assert (LNLoRA(r=2) + NormsAndBiases()).attach(build()).companion is None
    other = PEFT("adalora", OPTIONS | {"target_modules": ["blocks.1.attn.qkv"]})
    with pytest.raises(UserError, match=r"2 parts of .* train by rules of their own"):
        _ = (METHOD + other).attach(build()).companion
