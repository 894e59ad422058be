import numpy as np
import pytest
from PIL import Image

from robustpeft.data.resizing import as_size, describe, fit
from robustpeft.errors import UserError


def test_a_number_means_a_square():
    assert as_size(32) == (32, 32)
    assert as_size((20, 30)) == (20, 30)
    assert as_size(None) is None


@pytest.mark.parametrize("bad", [0, -3, (4,), (4, 0), (1, 2, 3), (2.5, 2)])
def test_a_size_that_is_none_is_refused(bad):
    with pytest.raises(UserError, match="image_size"):
        as_size(bad)


def test_the_middle_of_the_longer_side_is_kept():
    image = Image.new("RGB", (90, 30), "black")
    image.paste("white", (30, 0, 60, 30))
    middle = np.asarray(fit(image, (10, 10)))
    assert middle.shape == (10, 10, 3)
    assert (middle[:, 1:-1] == 255).all()


def test_height_comes_first():
    assert fit(Image.new("RGB", (64, 64)), (10, 20)).size == (20, 10)


def test_an_image_of_the_right_size_is_not_touched(make_picture):
    image = make_picture(0)
    assert fit(image, (12, 12)) is image


def test_shrinking_averages_what_it_shrinks():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = np.asarray(fit(Image.fromarray(stripes), (8, 8))).astype(int)
    assert abs(small - 127.5).max() <= 5


def test_the_record_says_what_was_done():
    assert describe(None) == "as stored"
    assert "20x30" in describe((20, 30))
