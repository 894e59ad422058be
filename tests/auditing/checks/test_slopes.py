import torch

from robustpeft.auditing.checks.slopes import slope_mismatch


def test_a_true_gradient_agrees_everywhere(make_case):
    case = make_case(attacked=False)
    assert slope_mismatch(case.view, case.sample) == (0, 24)


def test_a_constant_tells_nothing(make_case):
    case = make_case(attacked=False)
    assert slope_mismatch(lambda x: 0 * x.flatten(1)[:, :3] + 1.0, case.sample) == (0, 0)


def test_a_gradient_of_half_the_length_is_on_the_edge_and_a_third_is_wrong(make_case, masked):
    case = make_case(attacked=False)
    assert slope_mismatch(lambda x: case.view(masked(x, 0.7)), case.sample)[0] == 0
    assert slope_mismatch(lambda x: case.view(masked(x, 0.3)), case.sample)[0] == 24
    assert slope_mismatch(lambda x: case.view(masked(x, -1.0)), case.sample)[0] == 24


def test_an_opposite_gradient_of_a_linear_function_is_measured_exactly(make_case, masked):
    weight = torch.randn(108, 3, generator=torch.Generator().manual_seed(0))
    sample = make_case(attacked=False).sample
    assert slope_mismatch(lambda x: x.flatten(1) @ weight, sample) == (0, 24)
    assert slope_mismatch(lambda x: masked(x, 0.0).flatten(1) @ weight, sample)[0] == 24
