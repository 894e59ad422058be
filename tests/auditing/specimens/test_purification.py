import torch
from torch.nn import functional

from robustpeft.auditing.specimens.purification import purification


def test_three_steps_towards_the_predicted_class(model, images):
    moved = images.clone()
    for _ in range(3):
        moved = moved.detach().requires_grad_()
        logits = model(moved)
        functional.cross_entropy(logits, logits.argmax(1)).backward()
        moved = (moved - 0.03 * moved.grad.sign()).clamp(0, 1)
    assert torch.allclose(purification(model)(images), model(moved), atol=1e-5)


def test_it_works_where_gradients_are_switched_off(model, images):
    broken = purification(model)
    expected = broken(images)
    with torch.no_grad():
        assert torch.allclose(broken(images), expected)
    with torch.inference_mode():
        assert torch.allclose(broken(images.clone()), expected)


def test_a_gradient_comes_back_for_the_image(model, images, slope):
    assert (slope(purification(model), images)[1].flatten(1).abs().sum(1) > 0).all()
    assert all(parameter.grad is None for parameter in model.parameters())
