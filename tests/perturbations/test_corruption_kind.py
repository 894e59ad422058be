import torch

from robustpeft.perturbations.corruption_kind import each


def test_each_image_is_treated_alone_and_stays_as_it_was():
    images = torch.arange(12.0).reshape(2, 3, 1, 2)
    found = each(lambda image: image.mul_(2), images)
    assert torch.equal(found, 2 * torch.arange(12.0).reshape(2, 3, 1, 2))
    assert torch.equal(images, torch.arange(12.0).reshape(2, 3, 1, 2))
    assert each(lambda image: image, images[:0]).shape == (0, 3, 1, 2)
