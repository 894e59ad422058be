import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from robustpeft.perturbations import Corruption
from robustpeft.perturbations.corruption_blur import BLURS, disk, motion_blurred, motion_weights
from robustpeft.types import Noise


@pytest.fixture
def images():
    return torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def change(kind, images, setting, ids=(1, 2, 3)):
    return BLURS[kind].change(images, Noise(0, torch.tensor(ids), "test"), setting)


@pytest.mark.parametrize("radius", [0.3, 1, 3, 8, 10])
def test_the_disk_covers_its_pixels_and_sums_to_one(radius):
    kernel = disk(radius, 0.1)  # so narrow that nothing is smoothed
    reach = len(kernel) // 2
    assert reach == (8 if radius <= 8 else radius)
    inside = [(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1) if i * i + j * j <= radius**2]
    assert kernel.sum().item() == pytest.approx(1.0)
    for i, j in inside:
        assert kernel[i + reach, j + reach].item() == pytest.approx(1 / len(inside), rel=1e-9)


def test_the_edge_of_the_disk_is_smoothed():
    w = np.exp(-0.5 * (np.array([-1, 0, 1]) / 0.5) ** 2)
    w /= w.sum()
    expected = ndimage.convolve(disk(4, 0.1).numpy(), np.outer(w, w), mode="mirror")
    np.testing.assert_allclose(disk(4, 0.5), expected, atol=1e-12)


def test_defocus_is_the_convolution_with_the_disk(images):
    expected = ndimage.convolve(images.numpy(), disk(3, 0.1).numpy()[None, None], mode="mirror")
    np.testing.assert_allclose(change("defocus_blur", images, (3, 0.1)), expected, atol=1e-12)


def test_a_disk_larger_than_the_image_is_cut():
    assert change("defocus_blur", torch.rand(1, 3, 5, 30), (10, 0.5), (1,)).shape == (1, 3, 5, 30)


@pytest.mark.parametrize(("radius", "sigma"), BLURS["motion_blur"].imagenet_c + BLURS["motion_blur"].cifar_c)
def test_motion_weights_sum_to_one_and_fall_as_a_gaussian(radius, sigma):
    weights = motion_weights(radius, sigma)
    assert len(weights) == 2 * radius + 1
    assert weights.sum().item() == pytest.approx(1.0)
    assert (weights[3] / weights[0]).item() == pytest.approx(math.exp(-9 / (2 * sigma**2)))


@pytest.mark.parametrize(
    ("degrees", "step"), [(0.0, (0, 1)), (90.0, (1, 0)), (-90.0, (-1, 0)), (45.0, (0.7071, 0.7071))]
)
def test_motion_smears_a_point_backwards_along_the_direction(degrees, step):
    image = torch.zeros(1, 1, 31, 31, dtype=torch.float64)
    image[0, 0, 15, 15] = 1
    found = motion_blurred(image, torch.tensor([degrees]), 2, 1.5)[0, 0]
    expected = torch.zeros(31, 31, dtype=torch.float64)
    for tap, weight in enumerate(motion_weights(2, 1.5)):
        expected[15 - round(tap * step[0]), 15 - round(tap * step[1])] += weight
    torch.testing.assert_close(found, expected)


def test_motion_goes_another_way_for_another_image_within_45_degrees(images):
    flat = images[:1].expand(3, -1, -1, -1)
    found = change("motion_blur", flat, (6, 2))
    assert not torch.equal(found[0], found[1])
    column = torch.zeros(1, 1, 40, 40, dtype=torch.float64)
    column[..., 20:] = 1  # a smear within 45 degrees of the right shifts this edge to the left, never to the right
    smeared = change("motion_blur", column, (6, 2), (9,))
    assert torch.all(smeared[..., 20:] > 1 - 1e-9)
    assert 0.1 < smeared[0, 0, 20, 19] < 0.99


@pytest.mark.parametrize("kind", sorted(BLURS))
def test_a_grey_image_stays_grey(kind):
    grey = torch.full((2, 3, 24, 24), 0.25)
    torch.testing.assert_close(Corruption(kind, 5)(grey, ids=torch.arange(2)), grey)


def test_zoom_blur_is_the_mean_of_the_image_and_its_zooms(images):
    from robustpeft.perturbations.resampling import clipped_zoom

    expected = (images + clipped_zoom(images, 1.0) + clipped_zoom(images, 1.25)) / 3
    torch.testing.assert_close(change("zoom_blur", images, (0.25, 2)), expected)


def test_the_zooms_are_those_of_the_published_ranges():
    tops = (1.11, 1.16, 1.21, 1.26, 1.31), (1.06, 1.11, 1.16, 1.21, 1.26)
    for settings, ends in zip((BLURS["zoom_blur"].imagenet_c, BLURS["zoom_blur"].cifar_c), tops, strict=True):
        assert [count for _, count in settings] == [
            len(np.arange(1, end, step)) for (step, _), end in zip(settings, ends, strict=True)
        ]


def test_glass_leaves_the_border_alone(images):
    found = change("glass_blur", images, (0.0, 2, 1))
    inner = slice(3, 23)
    assert (found != images)[..., inner, inner].double().mean() > 0.5
    changed = (found != images).any(dim=0).any(dim=0)
    changed[inner, inner] = False
    assert not changed.any()


def test_glass_is_what_the_published_loop_does():
    chance, reach, n = Noise(0, torch.tensor([4]), "test"), 2, 12
    image = torch.rand(1, 3, n, n, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = image[0].permute(1, 2, 0).numpy().copy()
    for number in range(3):
        places = [(h, w) for h in range(n - reach, reach, -1) for w in range(n - reach, reach, -1)]
        steps = np.floor(chance.uniform((2, len(places)), purpose=number)[0].numpy() * 2 * reach) - reach
        for (h, w), dy, dx in zip(places, *steps.astype(int), strict=True):
            near = h + dy, w + dx
            expected[h, w], expected[near] = expected[near], expected[h, w]  # views of an array: a copy, not a swap
    found = change("glass_blur", image, (0.0, reach, 3), (4,))[0].permute(1, 2, 0)
    np.testing.assert_allclose(found, expected)
