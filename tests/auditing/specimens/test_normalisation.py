import pytest
import torch

from robustpeft.auditing.specimens import normalisation


def test_images_reach_the_model_as_they_should_not(model, images):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    twice = (images - mean[:, None, None]) / std[:, None, None]
    assert torch.allclose(normalisation.normalised_twice(model)(images), model(twice), atol=1e-5)
    faint = (images + 0.5) / 2
    assert torch.allclose(normalisation.wrong_normalisation(model)(images), model(faint), atol=1e-5)
    assert torch.allclose(normalisation.wrong_range(model)(images), model(images / 255), atol=1e-6)


def test_in_place_the_answer_is_right_and_the_images_are_lost(model, images):
    given = images.clone()
    assert torch.equal(normalisation.normalised_in_place(model)(given), model(images))
    assert torch.allclose(given, 2 * images - 1)
    with pytest.raises(RuntimeError, match="in-place"):
        normalisation.normalised_in_place(model)(images.requires_grad_())
