import colorsys

import pytest
import torch

from robustpeft.perturbations import Corruption
from robustpeft.perturbations.corruption_weather import WEATHER, crystals
from robustpeft.perturbations.plasma import plasma
from robustpeft.types import Noise

NOISE = Noise(0, torch.tensor([1, 2]), "test")


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("constants", "added"), [("imagenet_c", 0.3), ("cifar_c", 0.15)])
def test_brightness_adds_to_the_value_of_hsv(images, constants, added):
    images[0, :, 0, 0] = 0  # black has no hue
    found = Corruption("brightness", 3, constants)(images)
    for row, column in [(0, 0), (3, 7), (31, 30)]:
        hue, saturation, value = colorsys.rgb_to_hsv(*images[0, :, row, column].tolist())
        expected = colorsys.hsv_to_rgb(hue, saturation, min(value + added, 1.0))
        assert found[0, :, row, column].tolist() == pytest.approx(expected, abs=1e-9)


def test_fog_is_the_published_mixture_of_image_and_clouds(images):
    found = WEATHER["fog"].change(images, NOISE, (1.5, 2.0))
    clouds = plasma(NOISE, 32, 32, 2.0)[:, None]
    brightest = images.flatten(1).max(dim=1).values.reshape(2, 1, 1, 1)
    torch.testing.assert_close(found, (images + 1.5 * clouds) * brightest / (brightest + 1.5))
    assert found.amax() <= 1


def test_frost_is_a_weighted_sum_with_ice_that_is_bluish():
    black = torch.zeros(2, 3, 32, 32)
    ice = WEATHER["frost"].change(black, NOISE, (0.7, 0.5))
    torch.testing.assert_close(ice[:, 2], 0.5 * crystals(NOISE, 32, 32).float())
    assert ice[:, 0].mean() < ice[:, 1].mean() < ice[:, 2].mean()
    grey = WEATHER["frost"].change(black + 0.4, NOISE, (0.7, 0.5))
    torch.testing.assert_close(grey - ice, torch.full_like(ice, 0.28))


def test_ice_lies_in_the_unit_interval_and_has_sharp_ridges():
    ice = crystals(Noise(0, torch.arange(20), "test"), 64, 64)
    assert 0 <= ice.min() < 0.1
    assert 0.85 < ice.max() <= 1
    assert 0.15 < ice.mean() < 0.6


def test_snow_whitens_and_its_flakes_come_twice():
    black = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    snow = WEATHER["snow"].change(black, Noise(0, torch.tensor([3]), "test"), (0.3, 0.3, 2, 0.5, 4, 2, 0.7))
    assert torch.equal(snow[:, 0], snow[:, 1])  # white
    torch.testing.assert_close(snow, snow.flip(2, 3))
    assert snow.min() >= 0.3 * 0.5 - 1e-9  # what black becomes without a flake: (1 - 0.7) * 0.5
    assert snow.max() > 0.4
    bare = WEATHER["snow"].change(black + 0.2, NOISE_OF_NONE, (0.0, 0.0, 2, 0.5, 4, 2, 0.7))
    torch.testing.assert_close(bare, torch.full_like(bare, 0.7 * 0.2 + 0.3 * (1.5 * 0.2 + 0.5)))


NOISE_OF_NONE = Noise(0, torch.tensor([3]), "test")


def test_snow_weighs_the_colours_as_the_eye_does():
    green = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    green[:, 1] = 1
    found = WEATHER["snow"].change(green, NOISE_OF_NONE, (0.0, 0.0, 1, 0.5, 2, 1, 0.6))[0, :, 0, 0]
    white = 0.587 * 1.5 + 0.5
    assert found.tolist() == pytest.approx([0.4 * white, 0.6 + 0.4 * white, 0.4 * white], abs=1e-6)
