import pytest
import torch

from robustpeft.attacks.containment import check_within
from robustpeft.types import L2, Linf

IMAGES = torch.full((2, 3, 4, 4), 0.5)


@pytest.mark.parametrize("threat", [Linf(0.1), Linf(0.5), L2(0.5)])  # that of 0.5 reaches black and white
def test_the_sphere_itself_is_allowed(threat):
    direction = threat.ascend(torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)))
    check_within(IMAGES + threat.epsilon * direction, IMAGES, threat, "pgd")


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5)])
def test_one_image_outside_the_ball_is_enough(threat):
    direction = threat.ascend(torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)))
    direction[0] = 0
    with pytest.raises(RuntimeError, match="mine left the ball"):
        check_within(IMAGES + 1.001 * threat.epsilon * direction, IMAGES, threat, "mine")


def test_it_looks_at_one_image_too_and_none_is_within():
    with pytest.raises(RuntimeError, match="mine left the ball"):
        check_within(IMAGES[:1] + 0.2, IMAGES[:1], Linf(0.1), "mine")
    check_within(IMAGES[:0], IMAGES[:0], Linf(0.1), "mine")


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_one_value_outside_the_box_is_enough(value):
    adversarial = IMAGES.clone()
    adversarial[1, 0, 0, 0] = value
    with pytest.raises(RuntimeError, match="mine left the box"):
        check_within(adversarial, IMAGES, Linf(1.0), "mine")


def test_another_shape_is_refused():
    with pytest.raises(RuntimeError, match="turned images"):
        check_within(IMAGES[:1], IMAGES, Linf(0.1), "mine")
