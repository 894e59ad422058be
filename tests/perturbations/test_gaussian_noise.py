import pytest
import torch

from robustpeft.perturbations import GaussianNoise
from robustpeft.types import UserError

GREY = torch.full((4, 3, 64, 64), 0.5)


def test_on_grey_the_noise_has_mean_zero_and_the_standard_deviation_asked_for():
    noise = (GaussianNoise(0.05)(GREY, ids=torch.arange(4)) - GREY).double()  # 0.5 is 10 standard deviations away
    n = noise.numel()
    assert abs(noise.mean()) < 4 * 0.05 / n**0.5
    assert abs(noise.std() / 0.05 - 1) < 4 / (2 * n) ** 0.5


def test_channels_pixels_and_images_get_independent_noise():
    noise = (GaussianNoise(0.05)(GREY, ids=torch.arange(4)) - GREY).double()
    bound = 4 / (64 * 64) ** 0.5
    correlations = torch.corrcoef(noise.reshape(12, -1)) - torch.eye(12)
    assert correlations.abs().max() < bound * 1.5  # 66 pairs
    neighbours = torch.corrcoef(torch.stack([noise[..., 1:].flatten(), noise[..., :-1].flatten()]))[0, 1]
    assert abs(neighbours) < bound


def test_noise_that_leaves_the_box_is_clipped():
    black = GaussianNoise(0.1)(torch.zeros(1, 3, 64, 64))
    assert black.min() == 0
    assert abs((black == 0).double().mean() - 0.5) < 0.02


def test_a_larger_sigma_scales_the_same_noise():
    small = GaussianNoise(0.01)(GREY) - GREY
    large = GaussianNoise(0.05)(GREY) - GREY
    assert torch.allclose(large, 5 * small, atol=1e-6)


def test_per_batch_adds_one_noise_to_all():
    noise = GaussianNoise(0.05, per_batch=True)(GREY, ids=torch.arange(4)) - GREY
    assert torch.equal(noise, noise[:1].expand_as(noise))


@pytest.mark.parametrize(
    ("sigma", "message"), [(25, r"got 25 \(did you mean 25 / 255\?\)"), (-0.1, "got -0.1$"), (float("inf"), "got inf$")]
)
def test_a_sigma_that_is_not_in_pixel_units_is_refused(sigma, message):
    with pytest.raises(UserError, match=message):
        GaussianNoise(sigma)
