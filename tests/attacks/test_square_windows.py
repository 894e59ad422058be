import math

import pytest
import torch

from robustpeft.attacks.square_windows import Window, halvings, lookup, place, signs, window_sides

CPU = torch.device("cpu")
SHARES = [  # of the windows, out of 10000, up to and including this one: p_init divided by this
    (10, 1),
    (50, 2),
    (200, 4),
    (500, 8),
    (1000, 16),
    (2000, 32),
    (4000, 64),
    (6000, 128),
    (8000, 256),
    (9999, 512),
]


def divisor(window):
    return next(share for last, share in SHARES if window <= last)


def test_the_share_is_halved_where_the_published_schedule_halves_it():
    assert (2 ** halvings(10_000, False, CPU)).tolist() == [divisor(window) for window in range(10_000)]


@pytest.mark.parametrize("queries", [1, 7, 100, 999, 5000, 20_000])
def test_the_schedule_is_stretched_to_the_number_of_queries(queries):
    assert (2 ** halvings(queries, True, CPU)).tolist() == [divisor(int(i / queries * 10_000)) for i in range(queries)]


def test_the_schedule_of_autoattack_in_words():
    sides = lookup(window_sides(0.8, 32, 32, odd=False), CPU)[halvings(5000, False, CPU)]
    changes = [i for i in range(1, 5000) if sides[i] != sides[i - 1]]
    assert changes == [11, 51, 201, 501, 1001, 2001, 4001]
    assert [int(sides[i]) for i in (0, *changes)] == [29, 20, 14, 10, 7, 5, 4, 3]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (6, 6), (20, 14), (32, 32), (33, 90), (224, 224)])
@pytest.mark.parametrize("p_init", [0.05, 0.3, 0.8, 1.0])
def test_windows_are_as_large_as_their_share_of_the_image(height, width, p_init):
    plain = window_sides(p_init, height, width, odd=False)
    for halved, (side, odd) in enumerate(zip(plain, window_sides(p_init, height, width, odd=True), strict=True)):
        wanted = math.sqrt(p_init * height * width / 2**halved)
        assert side == min(max(round(wanted), 1), height, width)
        assert odd == min(max(round(wanted), 3) // 2 * 2 + 1, height, width)
    assert len(plain) == len(SHARES)


def test_a_window_lies_in_its_image_and_reaches_every_place_but_the_last():
    side = torch.tensor([3] * 2000)
    draws = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0))
    window = place(draws, side, 9, 7)
    assert set(window.top.tolist()) == set(range(6))
    assert set(window.left.tolist()) == set(range(4))
    counts = window.top.bincount() / 2000
    assert (counts - 1 / 6).abs().max() < 5 * math.sqrt(5 / 36 / 2000)


def test_the_first_draw_is_of_the_row_and_the_second_of_the_column():
    draws, side = torch.tensor([[0.0, 0.99], [0.5, 0.25], [0.99, 0.0]]), torch.tensor([3, 1, 2])
    window = place(draws, side, 9, 7)
    assert window.top.tolist() == [0, 4, 6]
    assert window.left.tolist() == [3, 1, 0]


def test_a_window_as_large_as_the_image_begins_at_its_corner():
    window = place(torch.tensor([[0.999, 0.999]]), torch.tensor([5]), 5, 8)
    assert (int(window.top), int(window.left)) == (0, 2)


def test_the_last_place_counts_where_that_is_asked_for():
    draws = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0))
    window = place(draws, torch.full((2000,), 3), 9, 7, last=True)
    assert set(window.top.tolist()) == set(range(7))
    assert set(window.left.tolist()) == set(range(5))
    assert int(place(torch.full((1, 2), 1 - 2.0**-24), torch.tensor([1]), 5, 5, last=True).top) == 4


def test_a_window_of_a_part_lies_in_the_same_place_of_the_whole():
    part = Window(torch.tensor([1, 0]), torch.tensor([0, 2]), torch.tensor([2, 1]), 4, 3)
    whole = torch.zeros(2, 1, 9, 8, dtype=torch.bool)
    whole[:, :, 5:9, 2:5] = part.mask()
    assert torch.equal(part.placed(5, 2, 9, 8).mask(), whole)


def test_the_largest_draw_stays_inside():
    lengths = torch.arange(2, 400)
    largest = torch.full((1, 2), 1 - 2.0**-24)
    for length in lengths.tolist():
        assert int(place(largest, torch.tensor([1]), length, length).top) == length - 2


def test_every_image_has_a_window_of_its_own():
    window = Window(torch.tensor([1, 0, 2]), torch.tensor([0, 3, 1]), torch.tensor([2, 1, 3]), 5, 6)
    mask = window.mask()
    wanted = torch.zeros(3, 1, 5, 6, dtype=torch.bool)
    wanted[0, :, 1:3, 0:2] = True
    wanted[1, :, 0:1, 3:4] = True
    wanted[2, :, 2:5, 1:4] = True
    assert torch.equal(mask, wanted)
    wanted[1] = False
    assert torch.equal(window.mask(torch.tensor([True, False, True])), wanted)


def test_signs_are_never_zero():
    draws = torch.tensor([0.0, 0.49, 0.5, 0.99])
    assert signs(draws).tolist() == [-1, -1, 1, 1]
