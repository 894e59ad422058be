import pytest
import torch

from robustpeft.attacks.square_l2 import bump, bump_in, moved_mass, tiled, tiles
from robustpeft.attacks.square_windows import Window


def hill(rows, columns):
    """One level after the other, as the paper draws it: squares around the centre, each 1 / (k + 1)**2 high."""
    heights = torch.zeros(rows, columns, dtype=torch.float64)
    for k in range(max(rows // 2, columns // 2) + 1):
        up, left = max(rows // 2 - k, 0), max(columns // 2 - k, 0)
        heights[up : rows // 2 + k + 1, left : columns // 2 + k + 1] += 1 / (k + 1) ** 2
    return heights / heights.norm() if rows else heights


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 9, 14, 21])
def test_a_bump_is_a_hill_over_a_hollow_of_length_1(side):
    wanted = torch.cat([hill(side // 2, side), -hill(side - side // 2, side)])
    torch.testing.assert_close(bump(side).double(), wanted / wanted.norm(), rtol=0, atol=1e-6)


def test_the_smallest_bumps_by_hand():
    assert bump(1).tolist() == [[-1.0]]
    rows = torch.tensor([[0.25, 1.25], [-0.25, -1.25]])  # the centre of two pixels is the second
    torch.testing.assert_close(bump(2), rows / rows.norm())


def window(top, left, side, height=8, width=9):
    return Window(*(torch.tensor(values) for values in (top, left, side)), height, width)


def test_a_bump_fills_its_window_upright_or_lying():
    where = window([0, 1, 5], [4, 0, 6], [3, 5, 3])
    placed = bump_in(where, torch.tensor([False, True, True]), (5, 3), torch.tensor([1, 0, 1]))
    wanted = torch.zeros(3, 1, 8, 9)
    wanted[0, 0, 0:3, 4:7] = bump(3)
    wanted[1, 0, 1:6, 0:5] = bump(5).T
    wanted[2, 0, 5:8, 6:9] = bump(3).T
    assert torch.equal(placed, wanted)


def test_the_first_point_has_a_bump_in_every_cell():
    height, width, epsilon = 22, 27, 0.5
    rows, columns = tiles(height, width)
    assert (rows, columns) == (5, 6)
    draws = torch.rand(2, rows * columns * 4, generator=torch.Generator().manual_seed(1))
    images = torch.full((2, 3, height, width), 0.5)
    found = tiled(images, epsilon, draws) - images
    wanted = torch.zeros(2, 3, height, width)
    for image in range(2):
        left = iter(draws[image].tolist())
        for row in range(rows):
            for column in range(columns):
                shape = bump(4).T if next(left) > 0.5 else bump(4)
                for channel in range(3):
                    sign = 1 if next(left) >= 0.5 else -1
                    up, along = 1 + 4 * row, 1 + 4 * column  # one row is left over above and one below
                    wanted[image, channel, up : up + 4, along : along + 4] = sign * shape
        wanted[image] *= epsilon / wanted[image].norm()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (6, 6), (14, 14), (18, 18), (9, 40), (40, 9)])
def test_the_first_point_of_images_of_any_size_spends_the_budget(height, width):
    rows, columns = tiles(height, width)
    images = torch.full((1, 3, height, width), 0.5)
    found = tiled(images, 0.3, torch.rand(1, rows * columns * 4, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close((found - images).norm(), torch.tensor(0.3))


def slices(where, row):
    top, left, side = int(where.top[row]), int(where.left[row]), int(where.side[row])
    return slice(top, top + side), slice(left, left + side)


def by_hand(image, best, epsilon, gaining, losing, shape, sign):
    """One image, channel by channel, with slices."""
    delta = (best - image).double()
    old = delta.clone()
    for channel in range(3):
        either = torch.zeros(image.shape[1:], dtype=torch.bool)
        either[gaining], either[losing] = True, True
        budget = old[channel][either].square().sum() + max(epsilon**2 - float(old.square().sum()), 0) / 3
        own = old[channel][gaining]
        new = sign[channel] * shape.double() + own / (own.norm() + 1e-12)
        delta[channel][losing] = 0.0
        delta[channel][gaining] = new / new.norm() * budget.sqrt()
    return (image.double() + delta / delta.norm() * epsilon).clamp(0, 1)


@pytest.mark.parametrize("spent", [0.2, 0.5, 0.55])
def test_mass_moves_from_one_window_to_the_other(spent):
    generator = torch.Generator().manual_seed(5)
    images = 0.02 + 0.96 * torch.rand(3, 3, 8, 9, generator=generator)
    delta = torch.randn(3, 3, 8, 9, generator=generator)
    best = images + spent * delta / delta.flatten(1).norm(dim=1)[:, None, None, None]
    gaining = window([0, 1, 5], [4, 0, 6], [3, 5, 3])
    losing = window([4, 2, 5], [0, 2, 5], [3, 5, 3])  # apart, overlapping, almost the same
    shapes = [bump(3), bump(5).T, bump(3)]
    lying = torch.tensor([False, True, False])
    sign = torch.tensor([[1.0, -1, 1], [-1, -1, -1], [1, 1, -1]])
    placed = bump_in(gaining, lying, (3, 5), torch.tensor([0, 1, 0]))
    before = best.clone()
    found = moved_mass(images, best, 0.5, gaining, losing, placed, sign[:, :, None, None])
    assert torch.equal(best, before)
    for row in range(3):
        wanted = by_hand(
            images[row], best[row], 0.5, slices(gaining, row), slices(losing, row), shapes[row], sign[row].tolist()
        )
        torch.testing.assert_close(found[row].double(), wanted, rtol=0, atol=1e-6)
