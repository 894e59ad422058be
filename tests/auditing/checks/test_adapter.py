import pytest
import torch

from robustpeft.auditing.checks.adapter import adapter_active, adapter_gradient, folded_parity

METHOD = {"name": "toy"}
WEIGHT = torch.randn(108, 3, generator=torch.Generator().manual_seed(1))


def path(images):
    return torch.tanh((images - 0.5).flatten(1) @ WEIGHT)


def case_of(make_case, adapted, *paths):
    return make_case(adapted(*paths), attacked=False, method=METHOD)


def test_an_honest_adapter_passes(make_case, adapted):
    case = case_of(make_case, adapted, path)
    assert [ask(case).verdict for ask in (folded_parity, adapter_active, adapter_gradient)] == ["pass"] * 3


def test_a_folded_form_that_differs_is_noticed(make_case, adapted):
    answer = folded_parity(case_of(make_case, adapted, path, lambda images: 1.1 * path(images)))
    assert answer.verdict == "fail"
    assert folded_parity(case_of(make_case, adapted, path, lambda images: path(images) + 1e-6)).verdict == "pass"


def test_an_adapter_that_does_nothing_is_noticed(make_case, adapted):
    case = case_of(make_case, adapted, lambda images: 0 * path(images))
    assert adapter_active(case).verdict == "fail"
    assert adapter_gradient(case).verdict == "not_applicable"


@pytest.mark.parametrize("hide", [lambda images: path(images).detach(), lambda images: path(images.detach())])
def test_a_path_without_gradient_is_noticed(make_case, adapted, hide):
    case = case_of(make_case, adapted, hide)
    assert adapter_gradient(case).verdict == "fail"
    assert adapter_active(case).verdict == "pass"


def test_without_an_adapter_nothing_is_asked(make_case, honest):
    case = make_case(attacked=False)
    assert {ask(case).verdict for ask in (folded_parity, adapter_active, adapter_gradient)} == {"not_applicable"}
