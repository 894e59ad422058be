import pytest
import torch
from torch import nn

from robustpeft.pet.low_rank_branches import Branch, BranchOptions, LowRank
from robustpeft.pet.low_rank_folding import Folded, FoldedAfter, FoldedBefore, fold, linear_plus, patches


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(5, 8), (2, 5, 8), (2, 3, 5, 8), (8,)], ids=len)
@pytest.mark.parametrize("with_bias", [True, False])
def test_two_products_and_a_bias_are_summed_whatever_the_shape(shape, with_bias):
    tokens, inner, weight, up = draw(*shape), draw(*shape[:-1], 3, seed=1), draw(12, 8, seed=2), draw(12, 3, seed=3)
    bias = draw(12, seed=4) if with_bias else None
    wanted = tokens @ weight.T + inner @ up.T + (bias if with_bias else 0)
    kept = [t.clone() for t in (tokens, inner, weight, up)]
    torch.testing.assert_close(linear_plus(tokens, weight, bias, inner, up), wanted, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(now, then) for now, then in zip((tokens, inner, weight, up), kept, strict=True))


@pytest.mark.parametrize(("norm", "form"), [("none", Folded), ("before", FoldedBefore), ("after", FoldedAfter)])
def test_only_what_depends_on_the_image_by_more_than_a_linear_map_is_left(norm, form):
    adapter = LowRank((Branch("fc1", 2, 1.0),), 8, 12, BranchOptions(norm))
    assert type(fold(draw(12, 8), draw(12), adapter)) is form
    assert type(fold(draw(12, 8), draw(12), None)) is Folded


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("part", [None, (1, 3)])
def test_folding_a_single_branch_shares_no_memory_with_its_parameters(affine, part):
    adapter = LowRank((Branch("k", 2, 1.0, part),), 8, 12, BranchOptions("before", affine=affine))
    folded = fold(draw(12, 8), draw(12), adapter)
    mine = {parameter.data_ptr() for parameter in adapter.parameters()}
    assert mine.isdisjoint(buffer.data_ptr() for buffer in folded.buffers())


@pytest.mark.parametrize("shape", [(5, 8), (2, 5, 8), (2, 3, 5, 8)], ids=len)
@pytest.mark.parametrize("norm", ["none", "before", "after"])
def test_what_is_folded_computes_what_it_was_folded_from_and_is_nobodys_state(norm, shape):
    branches = (Branch("q", 2, 3.0, (0, 3)), Branch("v", 3, 0.5, (2, 3)))
    adapter = LowRank(branches, 8, 12, BranchOptions(norm, norm_eps=0.3))
    with torch.no_grad():
        for seed, parameter in enumerate(adapter.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed + 9))
    weight, bias = draw(12, 8, seed=1), draw(12, seed=2)
    folded = fold(weight, bias, adapter)
    assert folded.state_dict() == {}
    for tokens in (draw(*shape, seed=3), draw(*shape, seed=4).transpose(0, -2)):
        wanted = nn.functional.linear(tokens, weight, bias) + adapter(tokens)
        torch.testing.assert_close(folded(tokens), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("r", [1, 5, 7, 8, 15, 16])
def test_narrow_matrices_are_filled_up_to_what_vector_units_take(r):
    folded = FoldedBefore(draw(20, 18), None, draw(r, 18), draw(20, r), 0.1)
    width = -(-(r + 1) // 8) * 8
    assert (folded.down.shape, folded.up.shape) == ((18, width), (width, 20))
    assert folded.down.is_contiguous()
    assert folded.up.is_contiguous()


def test_the_variance_behind_the_branch_is_found_without_its_output():
    branches = (Branch("q", 2, 1.0, (0, 3)), Branch("v", 3, 1.0, (2, 3)))
    adapter = LowRank(branches, 8, 30, BranchOptions("after"))
    folded = fold(draw(30, 8), None, adapter)
    inner = draw(4, 5)
    wanted = torch.stack(
        [
            (inner[:, :2] @ adapter.B["q"].T).var(-1, correction=0),
            (inner[:, 2:] @ adapter.B["v"].T).var(-1, correction=0),
        ],
        1,
    )
    torch.testing.assert_close((inner @ folded.gram * inner) @ folded.members.T, wanted)


def test_patches_are_in_the_order_of_a_flattened_kernel():
    images = draw(2, 3, 9, 14)
    wanted = nn.functional.unfold(images[:, :, :8, :12], (2, 4), stride=(2, 4)).transpose(1, 2).reshape(2, 4, 3, 24)
    assert torch.equal(patches(images, (2, 4)), wanted)


@pytest.fixture
def normalised():
    """Return a folded branch behind a norm, and the formula it stands for."""
    down, up, weight, bias = draw(3, 16, seed=1), draw(12, 3, seed=2), draw(12, 16, seed=3), draw(12, seed=4)

    def formula(x):
        standard = nn.functional.layer_norm(x, (16,), eps=0.01)
        weights = [t.to(x.dtype) for t in (weight, bias, down, up)]
        return x @ weights[0].T + weights[1] + standard @ weights[2].T @ weights[3].T

    return FoldedBefore(weight, bias, down, up, 0.01), formula


@pytest.mark.parametrize("size", [1.0, 0.03, 0.0])
@pytest.mark.parametrize("mean", [0.0, 1.0, 10.0])
def test_the_norm_that_makes_no_copy_is_the_norm(normalised, mean, size):
    module, formula = normalised
    answers = []
    for form in (module, formula):
        tokens = (size * draw(4, 7, 16) + mean * size + 0.1).requires_grad_()
        output = form(tokens)
        (gradient,) = torch.autograd.grad(output, tokens, draw(4, 7, 12, seed=9))
        answers.append((output, gradient))
    # The variance is a difference of squares: float32 leaves it an error in proportion to the squared mean.
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=2e-5 * (1 + mean**2))


def test_the_norm_that_makes_no_copy_has_exact_first_and_second_derivatives(normalised):
    module = normalised[0].double()
    tokens = (draw(5, 16).double() * 0.3 + 1).requires_grad_()
    assert torch.autograd.gradcheck(module, (tokens,))
    assert torch.autograd.gradgradcheck(module, (tokens,))


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of torch's vmap, for addmm_
def test_it_can_be_transformed_and_compiled(normalised):
    module, formula = normalised
    tokens = draw(3, 5, 16)

    def slope(form):
        return torch.func.vmap(torch.func.grad(lambda x: form(x).square().sum()))(tokens)

    torch.testing.assert_close(slope(module), slope(formula), rtol=1e-4, atol=1e-4)
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(tokens), formula(tokens), rtol=1e-5, atol=1e-5)


def test_what_is_kept_for_the_gradient_beside_the_input_is_narrow(normalised):
    module, kept = normalised[0], []
    tokens = draw(4, 7, 16).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        module(tokens)
    mine = {t.untyped_storage().data_ptr() for t in (tokens, *module.buffers())}
    added = sum(t.numel() for t in kept if t.untyped_storage().data_ptr() not in mine)
    assert added == 28 * (8 + 1)  # 3 and the mean, filled up to 8; and the scale
