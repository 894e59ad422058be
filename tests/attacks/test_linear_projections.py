import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustpeft.attacks.linear_projections import to_hyperplane
from robustpeft.types import UserError

NORMS = ["linf", "l2"]


def draw(seed, rows=4, pixels=12, dtype=torch.float64):
    """Return points, some at the edges, weights, some 0 or small, and offsets of both signs, some out of reach."""
    generator = torch.Generator().manual_seed(seed)
    points = (1.6 * torch.rand(rows, pixels, generator=generator) - 0.3).clamp(0, 1)
    weights = torch.randn(rows, pixels, generator=generator) * torch.rand(rows, pixels, generator=generator) ** 3
    weights = weights * (torch.rand(rows, pixels, generator=generator) > 0.2)
    size = 10 ** (4 * torch.rand(rows, 1, generator=generator) - 2)
    offset = 1.5 * torch.randn(rows, generator=generator)
    return points.to(dtype), (size * weights).to(dtype), (size[:, 0] * offset).to(dtype)


def by_bisection(x, w, offset, norm):
    """Return the way of one row by halving the interval of multipliers; out of reach, the way to the corner."""
    towards = -w.sign() if offset >= 0 else w.sign()
    room = torch.where(towards < 0, x, 1 - x)
    speed = torch.ones_like(w) if norm == "linf" else w.abs()
    if (w.abs() * room).sum() <= abs(offset):
        return towards * room
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2
        if (w.abs() * torch.minimum(middle * speed, room)).sum() < abs(offset):
            low = middle
        else:
            high = middle
    return towards * torch.minimum(high * speed, room)


@pytest.mark.parametrize("norm", NORMS)
@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_it_is_the_way_that_bisection_finds(norm, seed):
    points, weights, offset = draw(seed)
    wanted = torch.stack([by_bisection(*row, norm) for row in zip(points, weights, offset, strict=True)])
    torch.testing.assert_close(to_hyperplane(points, weights, offset, norm), wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("norm", NORMS)
@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_it_meets_the_conditions_of_karush_kuhn_and_tucker(norm, seed):
    points, weights, offset = draw(seed)
    way = to_hyperplane(points, weights, offset, norm)
    assert 0 <= (points + way).min() <= (points + way).max() <= 1
    assert (way[weights == 0] == 0).all()
    assert (way * weights * offset[:, None] <= 0).all()
    rest = (weights * way).sum(1) + offset
    reachable = rest.abs() <= 1e-9 * weights.abs().sum(1)
    at_edge = ((points + way - (way > 0).double()).abs() < 1e-12) | (way == 0)
    for row in range(len(points)):
        free = ~at_edge[row] & (weights[row] != 0)
        if not reachable[row]:  # every pixel with a weight has gone as far as it can, and that was not enough
            assert not free.any()
            assert rest[row] * offset[row] > 0
            continue
        # The free pixels share one multiplier, and no pixel at the edge would have stopped there with less room.
        share = way[row].abs() / (1 if norm == "linf" else weights[row].abs())
        moved = weights[row] != 0
        if free.any():
            multiplier = share[free].max()
            torch.testing.assert_close(share[free], multiplier.expand(int(free.sum())), rtol=1e-8, atol=1e-12)
            assert (share[moved] <= multiplier * (1 + 1e-8)).all()


@pytest.mark.parametrize("norm", NORMS)
def test_within_the_box_it_is_the_textbook_formula(norm):
    points = torch.full((1, 3), 0.5)
    weights, offset = torch.tensor([[3.0, -4.0, 0.0]]), torch.tensor([1.0])
    wanted = {"linf": [[-1 / 7, 1 / 7, 0]], "l2": [[-3 / 25, 4 / 25, 0]]}[norm]
    torch.testing.assert_close(to_hyperplane(points, weights, offset, norm), torch.tensor(wanted))
    torch.testing.assert_close(to_hyperplane(points, weights, -offset, norm), -torch.tensor(wanted))


@pytest.mark.parametrize("norm", NORMS)
def test_a_pixel_at_the_edge_leaves_its_part_to_the_others(norm):
    points = torch.tensor([[0.05, 0.5, 0.5]])
    way = to_hyperplane(points, torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([0.5]), norm)
    torch.testing.assert_close(way, torch.tensor([[-0.05, -0.45, 0.0]]))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("offset", [0.3, 0.95])
def test_the_last_pixel_goes_the_rest_of_the_way_alone(norm, offset):
    way = to_hyperplane(torch.tensor([[0.1, 0.9]]), torch.ones(1, 2), torch.tensor([offset]), norm)
    torch.testing.assert_close(way, torch.tensor([[-0.1, 0.1 - offset]]))


@pytest.mark.parametrize("norm", NORMS)
def test_out_of_reach_it_goes_to_the_corner(norm):
    points, weights = torch.tensor([[0.2, 0.3, 0.4]]), torch.tensor([[1.0, -1.0, 0.0]])
    way = to_hyperplane(points, weights, torch.tensor([5.0]), norm)
    torch.testing.assert_close(way, torch.tensor([[-0.2, 0.7, 0.0]]))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("offset", [0.0, 1.0, -1.0])
def test_without_weights_nothing_moves(norm, offset):
    way = to_hyperplane(torch.tensor([[0.0, 0.5, 1.0]]), torch.zeros(1, 3), torch.tensor([offset]), norm)
    assert torch.equal(way, torch.zeros(1, 3))


@pytest.mark.parametrize("norm", NORMS)
def test_on_the_plane_nothing_moves(norm):
    points, weights, offset = draw(1)
    assert torch.equal(to_hyperplane(points, weights, 0 * offset, norm), torch.zeros_like(points))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_scale_of_the_weights_does_not_matter_in_float32(norm, scale):
    points, weights, offset = draw(2, dtype=torch.float32)
    way = to_hyperplane(points, weights * scale, offset * scale, norm)
    torch.testing.assert_close(way, to_hyperplane(points, weights, offset, norm), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_in_float32_with_many_pixels_it_stays_in_the_box_and_reaches_the_plane(norm, seed):
    points, weights, offset = draw(seed, rows=2, pixels=3072, dtype=torch.float32)
    offset = offset * 20
    way = to_hyperplane(points, weights, offset, norm)
    moved = (points + way).clamp(0, 1) - points
    torch.testing.assert_close(moved, way, rtol=0, atol=1e-6)
    exact = to_hyperplane(points.double(), weights.double(), offset.double(), norm)
    rest = (weights.double() * (way.double() - exact)).sum(1).abs()
    assert (rest <= 1e-6 * weights.abs().sum(1)).all()


@pytest.mark.parametrize("norm", NORMS)
def test_in_float32_it_reaches_the_plane_though_next_to_nothing_moves_on(norm):
    """Where the large ones have stopped at an edge, what is left is rounding, divided by the small ones' pace."""
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(4000, 6, generator=generator) * 10 ** (-8 * torch.rand(4000, 6, generator=generator))
    points = torch.rand(4000, 6, generator=generator)
    stopped = torch.rand(4000, 6, generator=generator) < 0.6
    offset = (weights.abs() * torch.where(weights > 0, points, 1 - points) * stopped).sum(1)
    way = to_hyperplane(points, weights, offset, norm)
    missed = ((weights.double() * way.double()).sum(1) + offset.double()).abs()
    assert (missed <= 1e-6 * weights.abs().amax(1)).all()


@pytest.mark.parametrize("norm", NORMS)
def test_each_row_is_by_itself(norm):
    points, weights, offset = draw(3, rows=5)
    together = to_hyperplane(points, weights, offset, norm)
    for row in range(5):
        alone = to_hyperplane(points[row : row + 1], weights[row : row + 1], offset[row : row + 1], norm)
        assert torch.equal(alone, together[row : row + 1])


def test_another_norm_is_refused():
    with pytest.raises(UserError, match="linf and l2; got 'l1'"):
        to_hyperplane(torch.zeros(1, 3), torch.ones(1, 3), torch.ones(1), "l1")
