import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from robustpeft.perturbations.resampling import blurred, box_matrix, clipped_zoom, gaussian_matrix, resized


@pytest.fixture
def images():
    return torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5, 30.0])
@pytest.mark.parametrize(("mirror", "mode", "truncate"), [(False, "nearest", 4.0), (True, "reflect", 3.0)])
def test_the_gaussian_filter_is_scipys(images, sigma, mirror, mode, truncate):
    expected = ndimage.gaussian_filter(images.numpy(), (0, 0, sigma, sigma), mode=mode, truncate=truncate)
    np.testing.assert_allclose(blurred(images, sigma, mirror=mirror, truncate=truncate), expected, atol=1e-12)


def test_no_smoothing_is_the_identity():
    assert torch.equal(gaussian_matrix(5, 0.0, True, 3.0), torch.eye(5, dtype=torch.float64))


@pytest.mark.parametrize("factor", [1.0, 1.1, 1.75, 3.0])
def test_the_clipped_zoom_is_scipys_zoom_of_the_centre(factor):
    image = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    crop = int(np.ceil(20 / factor))
    top = (20 - crop) // 2
    large = ndimage.zoom(image[0, 0, top : top + crop, top : top + crop].numpy(), factor, order=1)
    trim = (len(large) - 20) // 2
    expected = large[trim : trim + 20, trim : trim + 20]
    np.testing.assert_allclose(clipped_zoom(image, factor)[0, 0], expected, atol=1e-12)


def test_the_zoom_treats_height_and_width_each_by_itself(images):
    assert clipped_zoom(images, 1.5).shape == images.shape


@pytest.mark.parametrize("new", [3, 10, 13, 19, 20, 31, 60])
def test_the_box_filter_is_pillows(images, new):
    pixels = (images[0, 0] * 255).round()
    expected = np.asarray(Image.fromarray(pixels.numpy().astype(np.uint8)).resize((new, new), Image.Resampling.BOX))
    matrices = box_matrix(new, 20), box_matrix(new, 24)
    found = resized(pixels[None, None], *matrices)[0, 0]
    assert (found - torch.tensor(expected, dtype=torch.float64)).abs().max() <= 1.001  # Pillow rounds twice


def test_every_matrix_keeps_a_grey_image():
    for matrix in (gaussian_matrix(9, 2.0, True, 3.0), gaussian_matrix(9, 2.0, False, 4.0), box_matrix(4, 9)):
        torch.testing.assert_close(matrix.sum(dim=1), torch.ones(len(matrix), dtype=torch.float64))
