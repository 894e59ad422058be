import pytest
from torch import nn

from robustpeft.backbones import Backbone, ImageClassifier, wrap
from robustpeft.errors import UserError
from robustpeft.study.audited_images import load_test_images, steps_outside


def test_a_crop_leaves_the_size_that_the_model_takes():
    model = Backbone().load()
    images = load_test_images("digits", model, crop=0.8)
    assert images.image_size == (16, 16)
    assert "20x20" in steps_outside(images)[1]
    assert "central 16x16" in steps_outside(images)[1]


def test_a_crop_of_images_that_are_no_squares_keeps_their_shape():
    model = ImageClassifier(nn.Flatten(), nn.Identity(), image_size=(16, 8))
    images = load_test_images("digits", model, crop=0.8)
    assert images.image_size == (16, 8)
    assert "20x10" in steps_outside(images)[1]


def test_a_crop_needs_a_size():
    with pytest.raises(UserError, match="--image-size"):
        load_test_images("digits", wrap(nn.Flatten()), crop=0.8)
