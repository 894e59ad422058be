import torch
from torch.nn import functional

from robustpeft.auditing.specimens import resizing


def test_answers_are_the_same_and_only_one_has_a_gradient(model, images, slope):
    model.requires_grad_(False)
    honest, broken = resizing.resized_with_gradient(model), resizing.resized_without_gradient(model)
    small = functional.interpolate(images, (6, 6), mode="bilinear", antialias=True)
    seen = functional.interpolate(small, (8, 8), mode="bilinear")
    assert torch.equal(honest(images), broken(images))
    assert torch.allclose(honest(images), model(seen), atol=1e-6)
    assert slope(honest, images)[1].any()
    assert not broken(images.requires_grad_()).requires_grad


def test_flat_images_stay_and_fine_structure_goes():
    flat = torch.full((1, 3, 16, 16), 0.5)
    assert torch.allclose(resizing.there_and_back(flat), flat)
    fine = flat + 0.1 * (-1.0) ** torch.arange(16)
    assert (resizing.there_and_back(fine) - flat).abs().mean() < 0.05
