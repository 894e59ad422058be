import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustpeft.pet.low_rank import Branch, BranchOptions, LowRank, LowRankConv, LowRankLinear
from robustpeft.types import frozen_twin

QKV = tuple(Branch(name, r=2 + i, scaling=0.5 + i, part=(i, 3)) for i, name in enumerate("qkv"))


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_values(module, seed=3):
    with torch.no_grad():
        for i, parameter in enumerate(module.adapter.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed + i) * 0.5)
    return module


def reference(module, tokens, branches):
    """Return W x + b + concat_c(s_c B_c A_c LN_c(x)), written down branch by branch."""
    output = tokens @ module.weight.flatten(1).T + module.bias
    for branch in branches:
        x, a = tokens, module.adapter
        if a.norm_eps is not None:
            mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
            x = a.norm_weight[branch.name] * (x - mean) / (var + a.norm_eps).sqrt() + a.norm_bias[branch.name]
        index, parts = branch.part or (0, 1)
        width = output.shape[-1] // parts
        added = branch.scaling * x @ a.A[branch.name].T @ a.B[branch.name].T
        output[..., index * width : (index + 1) * width] += added
    return output


@pytest.fixture(params=[None, 1e-5, 0.1], ids=["lora", "lnlora", "lnlora_eps_0.1"])
def options(request):
    return BranchOptions(norm_eps=request.param, dropout=0.0, seed=0)


@pytest.mark.parametrize("branches", [(Branch("fc1", 3, 2.0),), QKV, QKV[1:], QKV[::2]], ids=["one", "qkv", "kv", "qv"])
def test_the_output_is_the_formula_and_so_is_the_folded_one(options, branches):
    torch.manual_seed(0)
    module = random_values(LowRankLinear(nn.Linear(8, 12), branches, options))
    tokens = draw(2, 5, 8) * 2 + 1
    with torch.no_grad():
        wanted = reference(module, tokens, branches)
        torch.testing.assert_close(module(tokens), wanted, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(frozen_twin(module)(tokens), wanted, rtol=1e-5, atol=1e-5)
        assert (wanted - F.linear(tokens, module.weight, module.bias)).abs().max() > 0.1


@pytest.mark.parametrize("size", [(12, 12), (13, 15)], ids=["whole", "with_remainder"])
def test_the_branch_of_a_patch_embedding_acts_on_the_unfolded_patch(options, size):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 4, stride=4)
    branches = (Branch("patch_embed", 2, 1.5),)
    module = random_values(LowRankConv(conv, branches, options))
    images = draw(2, 3, *size)
    patches = F.unfold(images, 4, stride=4).transpose(1, 2)
    with torch.no_grad():
        wanted = reference(module, patches, branches).transpose(1, 2).reshape(2, 6, 3, 3)
        torch.testing.assert_close(module(images), wanted, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(frozen_twin(module)(images), wanted, rtol=1e-5, atol=1e-5)


def test_patches_need_not_be_square(options):
    torch.manual_seed(0)
    module = random_values(
        LowRankConv(nn.Conv2d(3, 6, (2, 4), stride=(2, 4)), (Branch("patch_embed", 2, 1.0),), options)
    )
    images = draw(2, 3, 8, 8)
    patches = F.unfold(images, (2, 4), stride=(2, 4)).transpose(1, 2)
    with torch.no_grad():
        wanted = reference(module, patches, (Branch("patch_embed", 2, 1.0),)).transpose(1, 2).reshape(2, 6, 4, 2)
        torch.testing.assert_close(module(images), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", ["linear", "conv"])
def test_a_layer_without_bias_stays_without_one(options, make):
    torch.manual_seed(0)
    if make == "linear":
        base, x = nn.Linear(8, 12, bias=False), draw(2, 8)
        module = LowRankLinear(base, (Branch("fc1", 2, 1.0),), options)
    else:
        base, x = nn.Conv2d(3, 6, 4, stride=4, bias=False), draw(2, 3, 8, 8)
        module = LowRankConv(base, (Branch("patch_embed", 2, 1.0),), options)
    assert module.bias is None
    torch.testing.assert_close(module(x), base(x))
    random_values(module)
    torch.testing.assert_close(frozen_twin(module)(x), module(x), rtol=1e-5, atol=1e-5)
    module.enabled = False
    torch.testing.assert_close(module(x), base(x))
    torch.testing.assert_close(frozen_twin(module)(x), base(x))


def test_switched_off_it_is_the_layer_alone_bit_for_bit(options):
    torch.manual_seed(0)
    base = nn.Linear(8, 12)
    module = random_values(LowRankLinear(base, QKV, options))
    module.enabled = False
    assert torch.equal(module(draw(2, 8)), base(draw(2, 8)))
    assert torch.equal(frozen_twin(module)(draw(2, 8)), base(draw(2, 8)))


def test_the_start_is_the_one_said(options):
    adapter = LowRank(QKV, 100, 30, options)
    for branch in QKV:
        matrix = adapter.A[branch.name]
        assert matrix.shape == (branch.r, 100)
        assert matrix.abs().max() <= 0.1
        assert matrix.abs().max() > 0.09
        assert adapter.B[branch.name].shape == (10, branch.r)
        assert not adapter.B[branch.name].any()
        if options.norm_eps is not None:
            assert torch.equal(adapter.norm_weight[branch.name], torch.ones(100))
            assert torch.equal(adapter.norm_bias[branch.name], torch.zeros(100))
    assert not torch.equal(adapter.A["q"][:2], adapter.A["k"][:2])


def test_the_start_follows_the_seed_and_not_the_global_random_state():
    def start(seed, global_seed):
        torch.manual_seed(global_seed)
        return LowRank(QKV, 8, 12, BranchOptions(None, 0.0, seed)).A["q"]

    assert torch.equal(start(1, 2), start(1, 3))
    assert not torch.equal(start(1, 2), start(2, 2))


def test_dropout_acts_behind_the_norm_in_training_only():
    branch = (Branch("fc1", 2, 1.0),)
    module = random_values(LowRankLinear(nn.Linear(8, 12), branch, BranchOptions(1e-5, 0.5, 0)))
    tokens = draw(2, 8)
    module.train()
    assert not torch.equal(module(tokens), module(tokens))
    module.eval()
    assert torch.equal(module(tokens), module(tokens))
    torch.testing.assert_close(module(tokens), reference(module, tokens, branch), rtol=1e-5, atol=1e-5)


def test_folding_copies_nothing_into_the_layer_and_does_not_change_it(options):
    module = random_values(LowRankLinear(nn.Linear(8, 12), QKV, options))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    twin = frozen_twin(module)
    shared = {module.weight.data_ptr(), module.bias.data_ptr()}
    own = [buffer for buffer in twin.buffers() if buffer.data_ptr() not in shared]
    assert own
    for buffer in own:
        buffer.fill_(7.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert list(twin.parameters()) == []
    assert twin.state_dict() == {}


def test_a_gradient_reaches_the_input_of_the_folded_form(options):
    module = random_values(LowRankLinear(nn.Linear(8, 12), QKV, options))
    one, other = draw(2, 8).requires_grad_(), draw(2, 8).requires_grad_()
    module(one).square().sum().backward()
    frozen_twin(module)(other).square().sum().backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_beside_a_layer_in_another_precision_the_branch_stays_float32_and_answers_in_the_layers(options, dtype):
    torch.manual_seed(0)
    module = random_values(LowRankLinear(nn.Linear(8, 12).to(dtype), QKV, options))
    tokens = draw(2, 8).to(dtype)
    exact = reference(copy.deepcopy(module).double(), tokens.double(), QKV)
    for form in (module, frozen_twin(module)):
        found = form(tokens)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), exact, rtol=0.05, atol=0.05)
    assert {p.dtype for p in module.adapter.parameters()} == {torch.float32}
