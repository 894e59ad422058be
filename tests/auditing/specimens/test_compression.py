import io

import numpy as np
import torch
from PIL import Image

from robustpeft.auditing.specimens.compression import jpeg_inside, saved_as_jpeg, saved_by_truncation


def test_images_are_those_of_the_file(images):
    found = saved_as_jpeg(images)
    assert found.shape == images.shape
    for image, given in zip(found, images, strict=True):
        buffer = io.BytesIO()
        pixels = np.moveaxis((given.numpy() * 255).round().astype(np.uint8), 0, 2)
        Image.fromarray(pixels).save(buffer, "jpeg", quality=75)
        read = np.moveaxis(np.asarray(Image.open(buffer)), 2, 0) / 255
        assert np.allclose(image.numpy(), read, atol=1e-6)


def test_jpeg_takes_fine_structure_away():
    grey = torch.full((1, 3, 16, 16), 0.5)
    fine = grey + 0.006 * (-1.0) ** torch.arange(16)
    assert (saved_as_jpeg(fine) - grey).abs().max() < 0.003


def test_the_model_sees_the_file(model, images):
    assert torch.equal(jpeg_inside(model)(images), model(saved_as_jpeg(images)))


def test_truncation_darkens_and_never_brightens(images):
    off = (images + 0.7 / 255).clamp(0, 1)
    lost = off - saved_by_truncation(off)
    assert (lost >= 0).all()
    assert abs(lost.median() - 0.7 / 255) < 0.3 / 255
    assert lost.max() < 1 / 255
