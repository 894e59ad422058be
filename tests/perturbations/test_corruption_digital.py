import io

import numpy as np
import pytest
import torch
from PIL import Image

from robustpeft.perturbations import Corruption
from robustpeft.perturbations.corruption_digital import DIGITAL, affine_through
from robustpeft.types import Noise


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("constants", "factor"), [("imagenet_c", 0.3), ("cifar_c", 0.5)])
def test_contrast_draws_each_channel_towards_its_mean(images, constants, factor):
    found = Corruption("contrast", 2, constants)(images)
    mean = images.mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(found, mean + factor * (images - mean))


@pytest.mark.parametrize(("constants", "side"), [("imagenet_c", 9), ("cifar_c", 24)])
def test_pixelate_is_pillows_box_filter_down_and_up(images, constants, side):
    pixels = (images[0] * 255).round().to(torch.uint8)
    small = Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize((side, side), Image.Resampling.BOX)
    expected = np.asarray(small.resize((32, 32), Image.Resampling.BOX)).transpose(2, 0, 1)
    found = Corruption("pixelate", 4, constants)(pixels[None] / 255)[0] * 255
    assert np.abs(found.numpy() - expected).max() <= 1.001


def test_jpeg_is_pillows(images):
    pixels = (images * 255).round().to(torch.uint8)
    found = Corruption("jpeg_compression", 2, "imagenet_c")(pixels / 255)
    for image, result in zip(pixels, found, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=18)
        expected = np.asarray(Image.open(buffer)).transpose(2, 0, 1)
        np.testing.assert_allclose(result * 255, expected, atol=1e-4)


def test_three_corners_of_a_central_square_go_where_they_are_moved():
    moves = torch.tensor([[[1.0, -2.0], [0.5, 3.0], [-1.0, 0.0]]], dtype=torch.float64)
    found = affine_through(30, 40, moves)
    corners = torch.tensor([[30.0, 25.0, 1.0], [30.0, 5.0, 1.0], [10.0, 5.0, 1.0]], dtype=torch.float64)
    moved = (corners @ found[0].mT)[:, :2]
    torch.testing.assert_close(moved, corners[:, :2] + moves[0])


def test_nothing_moves_without_amplitude_and_shift(images):
    found = DIGITAL["elastic_transform"].change(images, Noise(0, torch.tensor([1, 2]), "test"), (0.0, 0.0, 0.0))
    torch.testing.assert_close(found, images)


def test_the_affine_part_moves_the_picture_with_its_corners():
    noise = Noise(0, torch.tensor([1]), "test")
    ramp = torch.arange(32.0, dtype=torch.float64).expand(1, 3, 32, 32) / 32  # the value says where x was
    found = DIGITAL["elastic_transform"].change(ramp, noise, (0.0, 0.0, 0.05))[0, 0] * 32
    back = torch.linalg.inv(affine_through(32, 32, (2 * noise.uniform((3, 2)).double() - 1) * 1.6))[0]
    for x, y in [(16, 16), (20, 12), (10, 22)]:
        source = back @ torch.tensor([x, y, 1.0], dtype=torch.float64)
        assert found[y, x].item() == pytest.approx(source[0].item(), abs=1e-5)


def test_the_elastic_part_moves_each_pixel_by_its_smooth_field():
    from scipy import ndimage

    noise = Noise(0, torch.tensor([1]), "test")
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = DIGITAL["elastic_transform"].change(image, noise, (0.1, 0.05, 0.0))[0]
    fields = 2 * noise.uniform((2, 32, 32), purpose=1)[0].double().numpy() - 1
    across, down = (ndimage.gaussian_filter(f, 1.6, mode="reflect", truncate=3) * 3.2 for f in fields)
    rows, columns = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")
    for channel in range(3):
        expected = ndimage.map_coordinates(
            image[0, channel].numpy(), [rows + down, columns + across], order=1, mode="reflect"
        )
        np.testing.assert_allclose(found[channel], expected, atol=1e-6)
