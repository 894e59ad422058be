import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from robustpeft.pet.low_rank import LowRankConv, LowRankLinear
from robustpeft.pet.low_rank_branches import Branch, BranchOptions
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
    """Return W x + b + concat_c(s_c B_c A_c x) with LN_c where it stands, written down branch by branch."""
    output = tokens @ module.weight.flatten(1).T + module.bias
    a = module.adapter

    def norm(x, name):
        mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
        x = (x - mean) / (var + a.norm_eps).sqrt()
        return a.norm_weight[name] * x + a.norm_bias[name] if a.norm_weight else x

    for branch in branches:
        x = norm(tokens, branch.name) if a.norm == "before" else tokens
        added = x @ a.A[branch.name].T @ a.B[branch.name].T
        added = branch.scaling * (norm(added, branch.name) if a.norm == "after" else added)
        index, parts = branch.part or (0, 1)
        width = output.shape[-1] // parts
        output[..., index * width : (index + 1) * width] += added
    return output


OPTIONS = {
    "lora": BranchOptions("none"),
    "lnlora": BranchOptions("before"),
    "lnlora_eps_0.1": BranchOptions("before", norm_eps=0.1),
    "lnlora_fixed": BranchOptions("before", affine=False),
    "after": BranchOptions("after"),
    "after_eps_0.1": BranchOptions("after", norm_eps=0.1),
}


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS.keys())
def options(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["training", "eval"])
def training(request):
    """In eval mode a branch without a norm is multiplied out."""
    return request.param


@pytest.mark.parametrize("branches", [(Branch("fc1", 3, 2.0),), QKV, QKV[1:], QKV[::2]], ids=["one", "qkv", "kv", "qv"])
def test_the_output_is_the_formula_and_so_is_the_folded_one(options, branches, training):
    torch.manual_seed(0)
    module = random_values(LowRankLinear(nn.Linear(8, 12), branches, options)).train(training)
    tokens = draw(2, 5, 8) * 2 + 1
    with torch.no_grad():
        wanted = reference(module, tokens, branches)
        torch.testing.assert_close(module(tokens), wanted, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(frozen_twin(module)(tokens), wanted, rtol=1e-5, atol=1e-5)
        assert (wanted - F.linear(tokens, module.weight, module.bias)).abs().max() > 0.1


@pytest.mark.parametrize("size", [(12, 12), (13, 15)], ids=["whole", "with_remainder"])
def test_the_branch_of_a_patch_embedding_acts_on_the_unfolded_patch(options, size, training):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 4, stride=4)
    branches = (Branch("patch_embed", 2, 1.5),)
    module = random_values(LowRankConv(conv, branches, options)).train(training)
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


def test_dropout_acts_behind_the_norm_in_training_only():
    branch = (Branch("fc1", 2, 1.0),)
    module = random_values(LowRankLinear(nn.Linear(8, 12), branch, BranchOptions("before", dropout=0.5)))
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


def test_inputs_and_parameters_get_the_gradients_of_the_formula(options, training):
    module = random_values(LowRankLinear(nn.Linear(8, 12), QKV, options)).train(training)
    forms = (module, frozen_twin(module), lambda x: reference(module, x, QKV))
    gradients, of_parameters = [], []
    for form in forms:
        tokens = draw(2, 5, 8).requires_grad_()
        module.zero_grad()
        form(tokens).square().sum().backward()
        gradients.append(tokens.grad)
        of_parameters.append([p.grad for p in module.adapter.parameters()])
    torch.testing.assert_close(gradients[0], gradients[2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradients[1], gradients[2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(of_parameters[0], of_parameters[2], rtol=1e-4, atol=1e-4)
    assert all(gradient is None for gradient in of_parameters[1])


def test_the_folded_form_has_the_curvature_of_the_formula(options):
    module = random_values(LowRankLinear(nn.Linear(8, 12), QKV, options)).double()

    def curvature(form):
        tokens = draw(3, 8).double().requires_grad_()
        slope = torch.autograd.grad(form(tokens).square().sum(), tokens, create_graph=True)[0]
        return torch.autograd.grad(slope.square().sum(), tokens)[0]

    wanted = curvature(lambda x: reference(module, x, QKV))
    torch.testing.assert_close(curvature(frozen_twin(module)), wanted, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(curvature(module), wanted, rtol=1e-6, atol=1e-6)


def test_in_eval_mode_a_branch_without_a_norm_costs_one_product_of_the_layers_size():
    layer = LowRankLinear(nn.Linear(64, 64), (Branch("fc1", 2, 1.0),), BranchOptions())
    with FlopCounterMode(display=False) as counter:
        layer.eval()(draw(1000, 64))
    assert counter.get_total_flops() == 2 * (1000 * 64 * 64 + 64 * 2 * 64)


@pytest.mark.parametrize("shape", [(5, 8), (2, 5, 8), (2, 3, 5, 8), (8,)], ids=len)
def test_before_the_first_step_it_is_the_layer_bit_for_bit_whatever_the_shape(options, shape, training):
    torch.manual_seed(0)
    base = nn.Linear(8, 12)
    module = LowRankLinear(base, QKV, options).train(training)
    tokens = draw(*shape)
    assert torch.equal(module(tokens), base(tokens))


def test_before_the_first_step_it_is_the_layer_bit_for_bit_on_tokens_that_are_not_contiguous(options, training):
    torch.manual_seed(0)
    base = nn.Linear(8, 12)
    module = LowRankLinear(base, QKV, options).train(training)
    tokens = draw(5, 2, 8).transpose(0, 1)
    assert torch.equal(module(tokens), base(tokens))


def test_under_autocast_it_answers_in_the_lower_precision(options, training):
    torch.manual_seed(0)
    module = random_values(LowRankLinear(nn.Linear(8, 12), QKV, options)).train(training)
    tokens = draw(2, 5, 8)
    wanted = module(tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, folded = module(tokens), frozen_twin(module)(tokens)
    torch.testing.assert_close(found.float(), wanted, rtol=0.1, atol=0.1)
    torch.testing.assert_close(folded.float(), wanted, rtol=0.1, atol=0.1)


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
