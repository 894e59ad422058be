import pytest
import torch

from robustpeft.auditing.checks.forward_loop import no_inner_optimisation


def by_grad(images):
    with torch.enable_grad():
        points = images.detach().clone().requires_grad_(True)
        return images - 0 * torch.autograd.grad(points.sum(), points)[0]


def by_backward(images):
    with torch.enable_grad():
        points = images.detach().clone().requires_grad_(True)
        points.sum().backward()
    return images


def by_func(images):
    return images - 0 * torch.func.grad(lambda points: points.sum())(images)


@pytest.mark.parametrize("loop", [by_grad, by_backward, by_func])
def test_gradients_in_the_forward_are_noticed(make_case, around, loop):
    answer = no_inner_optimisation(make_case(around(before=loop), attacked=False))
    assert answer.verdict == "fail"
    assert answer.evidence.startswith("2 gradients")  # two batches of 16


def test_an_honest_model_passes_and_nothing_stays_patched(make_case):
    before = torch.autograd.grad, torch.autograd._engine_run_backward
    assert no_inner_optimisation(make_case(attacked=False)).verdict == "pass"
    assert (torch.autograd.grad, torch.autograd._engine_run_backward) == before
