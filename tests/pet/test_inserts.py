import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential

from robustpeft.pet.inserts import After, Before, Beside
from robustpeft.types import UserError, frozen_twin


class Times(nn.Module):
    """The first input times a factor, plus the second."""

    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, tokens, stream=0.0):
        return self.factor * tokens + stream


class Block(nn.Module):
    """x + scale(mlp(norm(x))), as in a network of somebody else."""

    def __init__(self):
        super().__init__()
        self.norm, self.mlp, self.scale = nn.LayerNorm(4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, tokens, other=0.0):
        return tokens + self.scale(self.mlp(self.norm(tokens))) + other


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(Block(), Block())


@pytest.fixture
def tokens():
    return torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1))


def bare(block, tokens):
    return block.scale(block.mlp(block.norm(tokens)))


def insert_of(kind, module):
    return {
        "before": Before("1", "new", module),
        "after": After("1", "new", module),
        "beside": Beside("1.scale", "new", module, ("1.norm", "1.mlp")),
        "beside_short": Beside("1.mlp", "new", module, ("1.norm",)),
    }[kind]


KINDS = ("before", "after", "beside", "beside_short")
KIND = pytest.mark.parametrize("kind", KINDS)


@KIND
def test_the_module_runs_where_it_stands(network, tokens, kind):
    first, second = copy.deepcopy(network)
    x = first(tokens)
    wanted = {
        "before": second(2 * x),
        "after": 2 * second(x),
        "beside": x + 2 * bare(second, x) + x,
        "beside_short": x + second.scale(2 * second.mlp(second.norm(x)) + x),
    }[kind]
    insert_of(kind, Times()).install(network)
    torch.testing.assert_close(network(tokens), wanted)


def test_other_inputs_of_the_host_are_passed_on(network, tokens):
    wanted = network[1](2 * tokens, tokens)
    insert_of("before", Times()).install(network)
    torch.testing.assert_close(network[1](tokens, tokens), wanted)


@KIND
def test_removing_it_leaves_nothing_behind(network, tokens, kind):
    before, names = network(tokens), [name for name, _ in network.named_modules()]
    insert = insert_of(kind, Times())
    hooks = insert.install(network)
    for hook in hooks:
        hook.remove()
    insert.remove(network)
    assert torch.equal(network(tokens), before)
    assert [name for name, _ in network.named_modules()] == names
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


@KIND
@pytest.mark.parametrize(
    "duplicate", [frozen_twin, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["twin", "copy", "pickle"]
)
def test_a_duplicate_of_the_network_runs_its_own_module_and_not_the_original(network, tokens, kind, duplicate):
    module = Times()
    insert_of(kind, module).install(network)
    wanted = network(tokens)
    other = duplicate(network)
    module.forward = None  # whoever calls the original fails
    assert torch.equal(other(tokens), wanted)


def test_a_gradient_of_a_twin_reaches_the_input_and_no_parameter(network, tokens):
    module = Times()
    insert_of("beside", module).install(network)
    inputs = tokens.clone().requires_grad_()
    frozen_twin(network)(inputs).sum().backward()
    assert inputs.grad.any()
    assert module.factor.grad is None


def test_the_module_is_owned_by_its_host_under_its_name_and_shares_its_mode(network):
    network.train()
    network[1].mlp.eval()
    insert_of("beside_short", module := Times()).install(network)
    assert network.get_submodule("1.mlp.new") is module
    assert not module.training
    assert "1.mlp.new.factor" in network.state_dict()


def test_the_stream_is_kept_by_nothing_when_the_pass_is_over_or_was_interrupted(network, tokens):
    seen = []
    insert_of("beside", Times()).install(network)
    network[1].norm.register_forward_pre_hook(lambda module, inputs: seen.append(weakref.ref(inputs[0])))
    with torch.no_grad():
        network(tokens)
        network[1].mlp.weight = nn.Parameter(torch.zeros(3, 3))
        with pytest.raises(RuntimeError):
            network(tokens)
    gc.collect()
    assert [ref() for ref in seen] == [None, None]


def test_a_pass_within_a_pass_does_not_disturb_it(network, tokens):
    insert_of("beside", Times()).install(network)
    wanted, calls = network(tokens), []

    def again(module, inputs, output):
        calls.append(module)
        if len(calls) == 1:
            network(torch.zeros_like(tokens))

    network[1].mlp.register_forward_hook(again)
    assert torch.equal(network(tokens), wanted)
    assert len(calls) == 2


@KIND
def test_a_checkpointed_pass_has_the_same_gradients(network, tokens, kind):
    module = Times()
    insert_of(kind, module).install(network)
    (wanted,) = torch.autograd.grad(network(tokens).square().sum(), module.factor)
    output = checkpoint_sequential(network, 2, tokens, use_reentrant=False)
    (found,) = torch.autograd.grad(output.square().sum(), module.factor)
    torch.testing.assert_close(found, wanted)


@KIND
def test_a_compiled_network_is_one_graph_with_the_same_answer(network, tokens, kind):
    insert_of(kind, Times()).install(network)
    wanted = network(tokens)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(tokens), wanted)


class Pair(nn.Module):
    """A layer that returns its tokens and something else."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, tokens):
        return self.layer(tokens), "weights"


class PairBlock(nn.Module):
    """x + mlp(attend(norm(x))), where attend returns a pair."""

    def __init__(self, *, pair_last):
        super().__init__()
        self.norm, self.attend = nn.LayerNorm(4), Pair()
        self.mlp = Pair() if pair_last else nn.Linear(4, 4)

    def forward(self, tokens):
        made = self.mlp(self.attend(self.norm(tokens))[0])
        return tokens + (made[0] if isinstance(made, tuple) else made)


@pytest.mark.parametrize("pair_last", [False, True])
@pytest.mark.parametrize("kind", ["after", "beside"])
def test_of_several_things_that_a_module_returns_the_first_is_meant_and_the_others_are_passed_on(
    tokens, kind, pair_last
):
    torch.manual_seed(0)
    block = PairBlock(pair_last=pair_last)
    made = block(tokens) - tokens
    if kind == "after":
        After("attend", "new", Times()).install(block)
        assert block.attend(tokens)[1] == "weights"
        torch.testing.assert_close(block.attend(tokens)[0], 2 * block.attend.layer(tokens))
    else:
        Beside("mlp", "new", Times(), ("norm", "attend")).install(block)
        torch.testing.assert_close(block(tokens), tokens + 2 * made + tokens)


def test_a_host_without_parameters_is_where_the_network_is():
    network = nn.Sequential(nn.Linear(2, 2), nn.Identity()).to("meta")
    module = Times()
    After("1", "new", module).install(network)
    assert module.factor.device.type == "meta"
    network = nn.Sequential(nn.Linear(2, 2).to("meta"), nn.Linear(2, 2))
    module = Times()
    After("1", "new", module).install(network)
    assert module.factor.device.type == "cpu"


def test_nothing_stands_beside_a_branch_whose_beginning_is_not_known():
    with pytest.raises(UserError, match=r"nothing can be put beside 1\.scale: it is not known where its branch begins"):
        Beside("1.scale", "new", Times(), ())
