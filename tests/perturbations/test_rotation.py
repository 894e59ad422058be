import pytest
import torch

from robustpeft.errors import UserError
from robustpeft.perturbations import Rotation
from robustpeft.perturbations.rotation import rotated


@pytest.fixture
def images():
    return torch.rand(3, 3, 20, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3, -1])
def test_quarter_turns_are_counter_clockwise_and_lose_nothing(images, quarters):
    found = rotated(images, torch.full((3,), 90.0 * quarters))
    torch.testing.assert_close(found, torch.rot90(images, quarters, (2, 3)))


def test_the_centre_stays_and_corners_turn_black():
    white = torch.ones(1, 3, 21, 31)
    found = rotated(white, torch.tensor([30.0]))
    assert found[0, 0, 10, 15].item() == pytest.approx(1.0)
    assert found[0, 0, 0, 0] == found[0, 0, -1, -1] == 0


def test_an_image_that_is_not_square_is_not_sheared():
    image = torch.zeros(1, 3, 21, 41, dtype=torch.float64)
    image[..., 10, 20 + 8] = 1  # 8 pixels to the right of the centre
    found = rotated(image, torch.tensor([90.0]))
    assert found[0, 0, 10 - 8, 20].item() == pytest.approx(1.0)  # 8 pixels above it


def test_angles_fill_the_interval_and_grow_with_it():
    ramp = torch.linspace(0, 1, 33, dtype=torch.float64).expand(60, 3, 33, 33).clone()
    ids = torch.arange(60)

    def angles(degrees):  # of the gradient at the centre: the ramp rises to the right, turned by the angle
        turned = Rotation(degrees)(ramp, ids=ids)[:, 0]
        across, down = turned[:, 16, 17] - turned[:, 16, 15], turned[:, 17, 16] - turned[:, 15, 16]
        return torch.rad2deg(torch.atan2(-down, across))

    wide, narrow = angles(30.0), angles(15.0)
    torch.testing.assert_close(wide, 2 * narrow, atol=1e-4, rtol=1e-4)
    assert -30 <= wide.min() < -24
    assert 24 < wide.max() <= 30


def test_more_than_half_a_turn_is_refused():
    with pytest.raises(UserError, match="degrees must be the largest angle, from 0 to 180; got 181"):
        Rotation(181)
