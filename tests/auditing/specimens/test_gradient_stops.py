import pytest
import torch

from robustpeft.auditing.specimens import gradient_stops


@pytest.mark.parametrize(("name", "factor"), [("zero_gradient", 0.0), ("tiny_gradient", 1e-30)])
def test_answers_are_the_same_and_gradients_are_multiplied(model, images, slope, name, factor):
    logits, exact = slope(model, images)
    broken, gradient = slope(getattr(gradient_stops, name)(model), images)
    assert torch.equal(broken, logits)
    assert torch.allclose(gradient * 1e30, exact * (factor * 1e30), rtol=1e-4, atol=1e-6)


def test_a_cut_graph_gives_the_same_answers(model, images):
    broken = gradient_stops.detached(model.requires_grad_(False))
    assert torch.equal(broken(images), model(images))
    assert not broken(images.requires_grad_()).requires_grad


def test_only_sure_images_lose_their_gradient(mixed, images, slope):
    model = mixed(0.9)
    logits, exact = slope(model, images)
    sure = logits.softmax(1).amax(1) > 0.9
    assert 0 < sure.sum() < len(images)
    broken, gradient = slope(gradient_stops.zero_gradient_when_sure(model), images)
    assert torch.equal(broken, logits)
    assert torch.equal(gradient[~sure], exact[~sure])
    assert not gradient[sure].any()
