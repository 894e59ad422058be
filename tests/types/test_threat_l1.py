import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustpeft.types import L1, L2, THREATS, Noise, UserError

SHAPE = (3, 4, 5)
seeds = st.integers(0, 2**31)
radii = st.sampled_from([0.0, 0.1, 1.0, 5.0, 100.0])


def gaussian(seed, batch=6, scale=0.3):
    return scale * torch.randn(batch, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dot(a, b):
    return (a * b).flatten(1).sum(1)


@settings(deadline=None)
@given(seed=seeds, epsilon=radii)
def test_projection_is_the_nearest_point_of_the_ball(seed, epsilon):
    """It is iff (x - p) . (q - p) <= 0 for every q in the ball; the worst q puts everything into one value."""
    point, threat = gaussian(seed), L1(epsilon)
    projected = threat.project(point)
    assert (threat.size(projected) <= epsilon * (1 + 1e-12)).all()
    worst = epsilon * (point - projected).abs().flatten(1).amax(dim=1)
    torch.testing.assert_close(dot(point - projected, projected), worst, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(threat.project(projected), projected, rtol=1e-12, atol=1e-15)


@settings(deadline=None)
@given(seed=seeds, epsilon=radii, scale=st.sampled_from([0.01, 0.3, 3.0]))
def test_within_is_the_nearest_point_of_ball_and_box(seed, epsilon, scale):
    """The same, with the worst q found greedily: into the steepest values as far as their room goes."""
    generator, threat = torch.Generator().manual_seed(seed), L1(epsilon)
    images = torch.rand(6, *SHAPE, generator=generator, dtype=torch.float64)
    images[0], images[1] = 0.0, 1.0
    point = images + gaussian(seed, scale=scale)
    found = threat.within(images, point)
    assert 0 <= found.min() <= found.max() <= 1
    assert (threat.size(found - images) <= epsilon * (1 + 1e-9) + 1e-12).all()
    slope = (point - found).flatten(1)
    room = torch.where(slope > 0, 1 - images.flatten(1), images.flatten(1))
    order = slope.abs().argsort(dim=1, descending=True)
    spent = room.gather(1, order).cumsum(dim=1).clamp_max(epsilon)
    spent = torch.cat([spent[:, :1], spent.diff(dim=1)], dim=1)
    most = (slope.abs().gather(1, order) * spent).sum(dim=1)
    torch.testing.assert_close(dot(slope, (found - images).flatten(1)), most, rtol=1e-7, atol=1e-9)


def test_what_the_box_cuts_off_is_not_lost_to_the_ball():
    images = torch.full((1, 3, 1, 1), 0.5)
    images[0, 0] = 1.0
    wanted = torch.tensor([9.0, 0.4, 0.3]).reshape(1, 3, 1, 1)
    found = L1(0.6).within(images, images + wanted)
    torch.testing.assert_close((found - images).flatten(), torch.tensor([0.0, 0.35, 0.25]))


@pytest.mark.parametrize("epsilon", [0.5, 3.0])
def test_what_is_inside_stays_bit_for_bit(epsilon):
    inside = gaussian(0) * 1e-4 * epsilon
    assert torch.equal(L1(epsilon).project(inside), inside)
    images = torch.full((6, *SHAPE), 0.5, dtype=torch.float64)
    assert torch.equal(L1(epsilon).within(images, images + inside), images + (images + inside - images))


def test_projection_moves_no_two_points_apart():
    one, other = gaussian(0), gaussian(1)
    assert (L2(1.0).size(L1(2.0).project(one) - L1(2.0).project(other)) <= L2(1.0).size(one - other)).all()


def test_ascend_has_unit_norm_and_grows_by_the_mean_of_the_largest_twentieth():
    gradient, threat = gaussian(3), L1(1.0)
    direction = threat.ascend(gradient)
    torch.testing.assert_close(threat.size(direction), torch.ones(6).double())
    torch.testing.assert_close(dot(gradient, direction), gradient.flatten(1).abs().topk(3, dim=1).values.mean(dim=1))


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_ascend_does_not_depend_on_the_scale_of_the_gradient_and_is_0_where_it_vanishes(scale):
    gradient = gaussian(0).float()
    assert torch.equal(L1(1.0).ascend(gradient * scale), L1(1.0).ascend(gradient))
    assert torch.equal(L1(1.0).ascend(torch.zeros(2, *SHAPE)), torch.zeros(2, *SHAPE))


def kolmogorov(sample):
    ordered = sample.double().flatten().sort().values
    n = len(ordered)
    steps = torch.arange(n + 1) / n
    return float(torch.maximum(ordered - steps[:-1], steps[1:] - ordered).max() * n**0.5)


def test_random_points_are_uniform_on_the_ball():
    threat, shape = L1(0.5), (3, 1, 1)
    points = threat.random(Noise(0, torch.arange(4000), "start"), shape)
    assert points.dtype == torch.float32
    assert kolmogorov((threat.size(points) / 0.5) ** 3) < 1.95  # p = 0.001
    assert ((points > 0).double().mean(dim=0) - 0.5).abs().max() < 0.03
    shares = points.flatten(1).abs() / threat.size(points)[:, None]
    for axis in range(3):  # of three shares of a uniform point of the simplex, each has the density 2 (1 - s)
        assert kolmogorov(1 - (1 - shares[:, axis]) ** 2) < 1.95


def test_random_points_are_keyed_by_image():
    ids = torch.arange(50)
    points = L1(1.0).random(Noise(0, ids, "start"), SHAPE)
    assert torch.equal(L1(1.0).random(Noise(0, ids.flip(0), "start"), SHAPE).flip(0), points)


def test_it_has_a_name_and_any_radius_that_is_a_number():
    assert THREATS["l1"] is L1
    assert str(L1(12.0)) == "l1 12"
    with pytest.raises(UserError, match="epsilon must be"):
        L1(math.inf)
    delta = torch.zeros(2, *SHAPE)
    delta[0, 0, 0, :2] = torch.tensor([3.0, -4.0])
    assert L1(0.1).size(delta).tolist() == [7.0, 0.0]
