import torch

from robustpeft.auditing.specimens.gradient_lies import flipped_gradient, shifted_gradient


def test_the_answers_are_right_and_the_gradient_is_negative(model, images, slope):
    logits, exact = slope(model, images)
    broken, gradient = slope(flipped_gradient(model), images)
    assert torch.equal(broken, logits)
    assert torch.equal(gradient, -exact)


def test_the_answers_are_right_and_the_gradient_is_elsewhere(model, images, slope):
    logits, exact = slope(model, images)
    broken, gradient = slope(shifted_gradient(model), images)
    assert torch.equal(broken, logits)
    assert torch.equal(gradient, exact.roll((-5, -3), dims=(2, 3)))
