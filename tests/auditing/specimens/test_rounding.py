import torch

from robustpeft.auditing.specimens import rounding


def test_images_have_eight_levels_and_no_gradient(model, images, slope):
    broken, gradient = slope(rounding.quantised_inputs(model), images)
    nearest = torch.stack([torch.full_like(images, level / 7) for level in range(8)])
    expected = nearest.gather(0, (nearest - images).abs().argmin(0)[None])[0]
    assert torch.allclose(broken, model(expected), atol=1e-6)
    assert not gradient.any()


def test_bytes_are_those_of_eight_bits(model, images):
    broken = rounding.eight_bits(model)
    assert torch.equal(broken(images), model(images))  # they are on the lattice
    assert torch.equal(broken((images + 0.4 / 255).clamp(0, 1)), model(images))
    assert not torch.equal(broken((images + 0.6 / 255).clamp(0, 1)), model(images))


def test_features_are_multiples_of_a_quarter(model, images, slope):
    broken = rounding.rounded_features(model)
    features = broken.conv(images)
    assert torch.equal(4 * features, (4 * model.conv(images)).round())
    assert not slope(broken, images)[1].any()


def test_rounded_logits_keep_the_class_and_have_no_gradient(model, images, slope):
    logits, _ = slope(model, images)
    broken, gradient = slope(rounding.rounded_logits(model), images)
    assert torch.equal(broken.argmax(1), logits.argmax(1))
    top = torch.nn.functional.one_hot(logits.argmax(1), 10)
    assert torch.equal(broken - 0.25 * top, (2 * logits).round() / 2)
    assert not gradient.any()
