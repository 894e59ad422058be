import dataclasses

import pytest
import torch

from robustpeft.errors import UserError
from robustpeft.perturbations import CORRUPTIONS, Corruption, corruption_suite

KINDS = sorted(CORRUPTIONS)


@pytest.fixture(scope="module")
def images():
    """Smooth shapes with edges: a blur of pure noise would be as far away at every severity."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    waves = [0.5 + 0.4 * torch.sin(9 * (i + 1) * x + 7 * y * (c + 1)) for i in range(4) for c in range(3)]
    pictures = torch.stack(waves).reshape(4, 3, 32, 32).clone()
    pictures[:, :, 8:20, 10:24] = 1 - pictures[:, :, 8:20, 10:24]
    return pictures


def test_there_are_the_fifteen_of_the_paper():
    assert list(CORRUPTIONS) == [
        "gaussian_noise",
        "shot_noise",
        "impulse_noise",
        "defocus_blur",
        "glass_blur",
        "motion_blur",
        "zoom_blur",
        "snow",
        "frost",
        "fog",
        "brightness",
        "contrast",
        "elastic_transform",
        "pixelate",
        "jpeg_compression",
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("constants", ["imagenet_c", "cifar_c"])
def test_every_kind_changes_the_image_at_every_severity_within_the_box(images, kind, constants):
    for severity in range(1, 6):
        found = Corruption(kind, severity, constants)(images, ids=torch.arange(4))
        assert found.shape == images.shape
        assert 0 <= found.min() <= found.max() <= 1
        assert (found - images).abs().mean() > 1e-4 or (kind, constants, severity) == ("glass_blur", "cifar_c", 1)


# The published settings are no ladder of distances for these: their steps change the character, not the amount.
NO_LADDER = ("elastic_transform", "snow", "glass_blur", "frost")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("constants", ["imagenet_c", "cifar_c"])
def test_a_higher_severity_is_further_away(images, kind, constants):
    away = [
        float((Corruption(kind, severity, constants)(images, ids=torch.arange(4)) - images).norm())
        for severity in range(6)
    ]
    assert away[0] == 0
    assert away[5] > away[1] or kind == "elastic_transform"
    if kind not in NO_LADDER:
        assert away == sorted(away)


@pytest.mark.parametrize("kind", KINDS)
def test_neither_the_batch_nor_the_order_matters(images, kind):
    corruption, ids = Corruption(kind, 3), torch.arange(4)
    together = corruption(images, ids=ids)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(corruption(images[order], ids=ids[order]), together[order])
    assert torch.equal(corruption(images[1:2], ids=ids[1:2]), together[1:2])


@pytest.mark.parametrize("kind", KINDS)
def test_sides_may_differ_and_the_batch_be_empty(kind):
    for severity in (1, 5):
        assert Corruption(kind, severity)(torch.rand(2, 3, 20, 33)).shape == (2, 3, 20, 33)
    assert Corruption(kind, 1)(torch.zeros(0, 3, 20, 33)).shape == (0, 3, 20, 33)


def test_small_images_get_the_settings_made_for_small_ones():
    for side, constants in ((84, "cifar_c"), (85, "imagenet_c")):
        images = torch.rand(1, 3, side, 100)
        assert torch.equal(Corruption("contrast", 1)(images), Corruption("contrast", 1, constants)(images))


def test_kinds_do_not_share_their_chance():
    grey = torch.full((1, 3, 16, 16), 0.5)
    noisy = (Corruption("gaussian_noise", 1)(grey) - 0.5).flatten()
    counted = (Corruption("shot_noise", 1)(grey) - 0.5).flatten()
    assert torch.corrcoef(torch.stack([noisy, counted]))[0, 1].abs() < 0.15


def test_narrow_images_are_computed_in_float32():
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).half()
    found = Corruption("defocus_blur", 5)(images, ids=torch.arange(2))
    assert found.dtype == torch.float16
    assert torch.equal(found, Corruption("defocus_blur", 5)(images.float(), ids=torch.arange(2)).half())


def test_the_suite_is_every_kind_at_every_severity():
    suite = corruption_suite((1, 3))
    assert len(suite) == 30
    assert suite[:2] == (Corruption("gaussian_noise", 1), Corruption("gaussian_noise", 3))
    assert len(set(corruption_suite())) == 75


@pytest.mark.parametrize("severity", [6, -1, 2.5, True, float("nan")])
def test_what_is_no_severity_is_refused(severity):
    with pytest.raises(UserError, match=r"severity must be a whole number from 0 \(unchanged\) to 5; got"):
        Corruption("fog", severity)


def test_an_unknown_kind_or_set_of_constants_is_refused():
    with pytest.raises(UserError, match=r"unknown corruption 'smog'; .*fog"):
        Corruption("smog", 1)
    with pytest.raises(UserError, match=r"constants must be .*'mnist_c'"):
        Corruption("fog", 1, "mnist_c")


def test_the_kind_is_the_variant():
    assert Corruption("fog", 2).variant == "fog"
    assert dataclasses.replace(Corruption("fog", 2), kind="snow").variant == "snow"
