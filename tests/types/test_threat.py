import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustpeft.types import L2, THREATS, Linf, Noise, Threat, UserError

SHAPE = (3, 4, 5)
BALLS = [Linf(8 / 255), Linf(0.5), L2(0.5), L2(3.0), Linf(0.0), L2(0.0)]
seeds = st.integers(0, 2**31)


def gaussian(seed, batch=6, scale=0.3):
    return scale * torch.randn(batch, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dot(a, b):
    return (a * b).flatten(1).sum(1)


def dual_norm(threat, gradient):
    """The support function of the unit ball: l1 for linf, l2 for l2."""
    return gradient.flatten(1).norm(p=1 if isinstance(threat, Linf) else 2, dim=1)


@pytest.fixture(params=BALLS, ids=str)
def ball(request):
    return request.param


@pytest.fixture(params=[b for b in BALLS if b.epsilon], ids=str)
def real_ball(request):
    return request.param


@settings(deadline=None)
@given(seed=seeds, threat=st.sampled_from(BALLS))
def test_projection_lands_in_the_ball_and_stays_there(seed, threat):
    projected = threat.project(gaussian(seed))
    assert (threat.size(projected) <= threat.epsilon * (1 + 1e-12)).all()
    assert torch.allclose(threat.project(projected), projected, rtol=1e-12, atol=0)


@settings(deadline=None)
@given(seed=seeds, threat=st.sampled_from(BALLS))
def test_projection_moves_no_two_points_apart(seed, threat):
    one, other = gaussian(seed), gaussian(seed + 1)
    before = L2(1.0).size(one - other)
    after = L2(1.0).size(threat.project(one) - threat.project(other))
    assert (after <= before * (1 + 1e-12)).all()


@settings(deadline=None)
@given(seed=seeds, threat=st.sampled_from(BALLS))
def test_projection_is_the_nearest_point_of_the_ball(seed, threat):
    # Variational inequality: p is nearest iff (x - p) . (q - p) <= 0 for every q in the ball; worst q is along x - p.
    point = gaussian(seed)
    projected = threat.project(point)
    residual = point - projected
    worst = threat.epsilon * dual_norm(threat, residual)
    assert torch.allclose(dot(residual, projected), worst, rtol=1e-9, atol=1e-12)


def test_projection_leaves_what_is_inside_bit_for_bit(ball):
    inside = gaussian(0) * 1e-4 * ball.epsilon
    assert torch.equal(ball.project(inside), inside)


def test_images_are_projected_one_by_one():
    delta = torch.stack([torch.full(SHAPE, 1.0), torch.full(SHAPE, 0.001)])
    assert torch.allclose(L2(1.0).size(L2(1.0).project(delta)), torch.tensor([1.0, 0.001 * math.sqrt(60)]))


@settings(deadline=None)
@given(seed=seeds, threat=st.sampled_from(BALLS))
def test_ascend_has_unit_norm_and_reaches_the_dual_norm(seed, threat):
    gradient = gaussian(seed)
    direction = threat.ascend(gradient)
    assert torch.allclose(threat.size(direction), torch.ones(6, dtype=torch.float64))
    assert torch.allclose(dot(gradient, direction), dual_norm(threat, gradient))


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_ascend_does_not_depend_on_the_scale_of_the_gradient(real_ball, scale):
    gradient = gaussian(0).float()
    assert torch.allclose(real_ball.ascend(gradient * scale), real_ball.ascend(gradient), atol=1e-6)


def test_ascend_is_zero_where_the_gradient_vanishes(real_ball):
    assert torch.equal(real_ball.ascend(torch.zeros(2, *SHAPE)), torch.zeros(2, *SHAPE))


def test_random_points_lie_in_the_ball_and_are_keyed_by_image(ball):
    ids = torch.arange(50)
    points = ball.random(Noise(0, ids, "start"), SHAPE)
    assert points.dtype == torch.float32
    assert (ball.size(points) <= ball.epsilon * (1 + 1e-6)).all()
    assert torch.equal(ball.random(Noise(0, ids.flip(0), "start"), SHAPE).flip(0), points)


def kolmogorov(sample, cdf=lambda x: x):
    ordered = cdf(sample.double().flatten().sort().values)
    n = len(ordered)
    steps = torch.arange(n + 1) / n
    return float(torch.maximum(ordered - steps[:-1], steps[1:] - ordered).max() * n**0.5)


def test_random_values_of_linf_are_uniform_on_the_interval():
    points = Linf(0.25).random(Noise(0, torch.arange(400), "start"), SHAPE)
    assert kolmogorov((points + 0.25) / 0.5) < 1.95  # p = 0.001


def test_random_radii_of_l2_have_a_uniform_dth_power_and_directions_no_preference():
    shape = (3, 1, 1)
    points = L2(0.5).random(Noise(0, torch.arange(4000), "start"), shape)
    radius = L2(0.5).size(points) / 0.5
    assert kolmogorov(radius**3) < 1.95
    directions = points.flatten(1) / points.flatten(1).norm(dim=1, keepdim=True)
    for axis in range(3):  # Archimedes: each coordinate of a point of the sphere in 3-space is uniform on [-1, 1]
        assert kolmogorov((directions[:, axis] + 1) / 2) < 1.95


def test_sizes_are_the_norms():
    delta = torch.zeros(2, *SHAPE)
    delta[0, 0, 0, :2] = torch.tensor([3.0, -4.0])
    assert Linf(0.1).size(delta).tolist() == [4.0, 0.0]
    assert L2(0.1).size(delta).tolist() == [5.0, 0.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Linf(8), r"pixel units on \[0, 1\]; got 8 \(did you mean 8 / 255\?\)"),
        (lambda: Linf(1.5), r"did you mean 1\.5 / 255\?"),
        (lambda: Linf(-0.1), r"epsilon must be at least 0; got -0\.1"),
        (lambda: L2(float("inf")), "epsilon must be a finite number; got inf"),
        (lambda: L2(float("nan")), "epsilon must be a finite number; got nan"),
        (lambda: Linf(0.1).with_epsilon(4), "did you mean 4 / 255"),
    ],
)
def test_an_epsilon_that_is_not_in_pixel_units_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_the_ends_of_the_range_are_accepted():
    assert Linf(1.0).epsilon == 1.0
    assert L2(8.0).epsilon == 8.0


@pytest.mark.parametrize(
    ("threat", "text"),
    [
        (Linf(8 / 255), "linf 8/255"),
        (Linf(0.5 / 255), "linf 0.5/255"),
        (Linf(0.25 / 255), "linf 0.25/255"),
        (Linf(0.1), "linf 0.1"),
        (L2(0.5), "l2 0.5"),
        (L2(128 / 255), "l2 128/255"),
        (L2(3.0), "l2 3"),
        (Linf(0.0), "linf 0"),
        (Linf(math.pi / 1000), "linf 0.00314159"),
    ],
)
def test_threats_are_written_the_way_people_write_them(threat, text):
    assert str(threat) == text


def test_the_table_names_every_norm():
    assert all(cls.norm == name and issubclass(cls, Threat) for name, cls in THREATS.items())
    assert {cls for cls in Threat.__subclasses__() if cls.__module__.startswith("robustpeft.")} == set(THREATS.values())


def test_another_radius_keeps_the_norm_and_the_value_stays_frozen():
    threat = L2(0.5)
    assert threat.with_epsilon(1.0) == L2(1.0)
    assert threat == L2(0.5)
    assert Linf(0.5) != L2(0.5)
    assert len({Linf(0.5), Linf(0.5), L2(0.5)}) == 2
