import torch

from robustpeft.auditing.counted_view import CountedView
from robustpeft.types import attack_view


def counted():
    return CountedView(lambda images: images.flatten(1).square())


def test_attacks_are_given_the_view_itself():
    view = counted()
    assert attack_view(view) is view


def test_answers_are_those_of_the_view():
    images = torch.rand(3, 3, 2, 2)
    assert torch.equal(counted()(images), images.flatten(1).square())


def test_a_pass_without_gradient_is_a_forward():
    view = counted()
    with torch.no_grad():
        view(torch.rand(5, 3, 2, 2, requires_grad=True))
    view(torch.rand(2, 3, 2, 2))
    assert (view.forwards, view.backwards) == (7, 0)


def test_every_gradient_of_the_images_is_a_backward():
    view, images = counted(), torch.rand(4, 3, 2, 2, requires_grad=True)
    for _ in range(3):  # the same tensor again: earlier passes must not be counted again
        (gradient,) = torch.autograd.grad(view(images).sum(), images)
    assert torch.allclose(gradient, 2 * images)
    assert (view.forwards, view.backwards) == (12, 12)


def test_a_mean_over_several_passes_counts_each():
    view, images = counted(), torch.rand(4, 3, 2, 2, requires_grad=True)
    torch.autograd.grad((view(images) + view(images)).sum(), images)
    assert (view.forwards, view.backwards) == (8, 8)


def test_a_gradient_that_stops_before_the_images_is_none():
    view, images = counted(), torch.rand(4, 3, 2, 2, requires_grad=True)
    logits = view(images)
    torch.autograd.grad(logits.sum(), logits)
    assert view.backwards == 0
