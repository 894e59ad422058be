import torch

from robustpeft.auditing.specimens.degenerate import constant, nan_gradients, nan_when_unsure


def test_the_class_is_constant_the_logits_are_not(model, images, slope):
    logits, gradient = slope(constant(model), images)
    assert (logits.argmax(1) == 0).all()
    assert torch.equal(logits, model(images).sort(1, descending=True).values)
    assert gradient.any()


def test_nan_where_no_class_is_likely(mixed, images):
    model = mixed(0.6)
    unsure = model(images).softmax(1).amax(1) < 0.6
    assert 0 < unsure.sum() < 6
    broken = nan_when_unsure(model)(images)
    assert torch.isnan(broken[unsure]).all()
    assert torch.equal(broken[~unsure], model(images)[~unsure])


def test_black_has_no_gradient_and_the_same_answer(model, images, slope):
    images[:3, :, 0, 0] = 0
    logits, exact = slope(model, images)
    broken, gradient = slope(nan_gradients(model), images)
    assert torch.allclose(broken, logits, atol=1e-5)
    assert torch.isnan(gradient[:3, :, 0, 0]).all()
    assert torch.allclose(gradient[images > 0], exact[images > 0], rtol=1e-3, atol=1e-6)
