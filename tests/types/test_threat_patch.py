import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from robustpeft.attacks import APGD, PGD, margin
from robustpeft.auditing import AuditPlan
from robustpeft.types import THREATS, Axis, Linf, Noise, Patch, Threat, UserError, from_plain, to_plain

SHAPE = (3, 12, 10)
PATCH = Patch(0.3, share=0.14, row=0.25, column=0.9)  # 4 x 4 pixels from (1, 6)
AXES = (Axis(Threat, THREATS, "threat", tag="norm"),)
seeds = st.integers(0, 2**31)


def gaussian(seed, scale=0.3):
    return scale * torch.randn(6, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inside():
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[:, 1:5, 6:10] = True
    return mask


@pytest.mark.parametrize(
    ("patch", "size", "window"),
    [
        (PATCH, (12, 10), (1, 6, 4)),
        (Patch(), (224, 224), (76, 76, 71)),  # 0.1 * 224 * 224 = 70.8 ** 2
        (Patch(share=0.25), (8, 8), (2, 2, 4)),
        (Patch(share=0.25, row=0.0, column=1.0), (8, 8), (0, 4, 4)),
        (Patch(share=0.25, row=1.0, column=0.0), (8, 10), (4, 0, 4)),
        (Patch(share=0.25, row=0.75, column=0.25), (32, 32), (16, 0, 16)),
        (Patch(share=1.0), (8, 20), (0, 6, 8)),
        (Patch(share=0.0001), (8, 8), (4, 4, 1)),
    ],
)
def test_the_window_covers_its_share_around_its_centre_and_stays_inside(patch, size, window):
    assert patch.window(*size) == window


@settings(deadline=None, max_examples=50)
@given(st.floats(0.001, 1), st.floats(0, 1), st.floats(0, 1), st.integers(1, 60), st.integers(1, 60))
def test_a_window_never_sticks_out(share, row, column, height, width):
    top, left, side = Patch(share=share, row=row, column=column).window(height, width)
    assert side >= 1
    assert 0 <= top <= top + side <= height
    assert 0 <= left <= left + side <= width


@settings(deadline=None)
@given(seed=seeds)
def test_projection_is_that_of_linf_inside_and_nothing_outside(seed):
    delta = gaussian(seed)
    given_back = delta.clone()
    projected = PATCH.project(delta)
    assert torch.equal(projected, torch.where(inside(), delta.clamp(-0.3, 0.3), 0.0))
    assert torch.equal(PATCH.project(projected), projected)
    assert torch.equal(delta, given_back)
    assert (PATCH.size(projected) <= 0.3).all()


def test_ascent_is_the_direction_in_which_a_plane_rises_fastest():
    gradient = gaussian(0)
    direction = PATCH.ascend(gradient)
    assert torch.equal(direction, torch.where(inside(), gradient.sign(), 0.0))
    torch.testing.assert_close(PATCH.size(direction), torch.ones(6, dtype=torch.float64))


def test_what_moves_outside_is_infinitely_large():
    delta = torch.zeros(4, *SHAPE)
    delta[1, 2, 1, 6] = -0.2
    delta[2, 2, 4, 9], delta[2, 0, 0, 6] = 0.2, 1e-9
    delta[3, 0, 5, 9] = -0.1
    assert PATCH.size(delta).tolist() == [0, pytest.approx(0.2), math.inf, math.inf]


def test_candidates_come_into_box_and_window_and_all_else_stays_bit_for_bit():
    images = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(2))
    found = PATCH.within(images, images + gaussian(1, 2.0).float())
    assert torch.equal(found[:, ~inside()], images[:, ~inside()])
    assert 0 <= found.min() <= found.max() <= 1
    assert (PATCH.size(found - images) <= 0.3 * (1 + 1e-6)).all()
    assert (PATCH.size(found - images) > 0.25).all()


def test_random_points_fill_the_window():
    noise = Noise(0, torch.arange(200), "x")
    drawn = PATCH.random(noise, SHAPE)
    assert (drawn[:, ~inside()] == 0).all()
    values = drawn[:, inside()] / 0.3
    assert values.abs().max() <= 1
    assert abs(float(values.mean())) < 0.03
    assert float(values.var()) == pytest.approx(1 / 3, abs=0.02)


class Curved(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.inner = nn.Parameter(0.5 * torch.randn(16, math.prod(SHAPE), generator=generator))
        self.outer = nn.Parameter(torch.randn(4, 16, generator=generator))

    def forward(self, images):
        return torch.tanh(images.flatten(1) @ self.inner.T) @ self.outer.T


@pytest.mark.parametrize("attack", [PGD(steps=10), PGD(steps=10, momentum=0.5), APGD(steps=15)], ids=str)
def test_attacks_by_gradients_work_within_a_patch(attack):
    model, images = Curved(), torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(2))
    labels = model(images).argmax(1)
    threat = Patch(share=0.3)
    found = attack(model, images, labels, threat)
    assert (threat.size(found - images) <= 1 + 1e-6).all()
    assert (threat.size(found - images) > 0.3).all()
    before, after = margin(model(images), labels), margin(model(found), labels)
    assert (after > before).all()
    whole = margin(model(attack(model, images, labels, Linf(1.0))), labels)
    assert after.mean() < whole.mean()  # less is allowed


def test_it_is_written_with_its_place_so_that_two_places_have_two_names():
    assert str(PATCH) == "patch 0.3 share=0.14,row=0.25,column=0.9"
    assert str(Patch(8 / 255)) == "patch 8/255 share=0.1,row=0.5,column=0.5"
    assert PATCH.with_epsilon(0.5) == dataclasses.replace(PATCH, epsilon=0.5)


def test_it_travels_as_plain_data_and_by_its_name():
    plain = to_plain(PATCH, AXES)
    assert plain == {"norm": "patch", "epsilon": 0.3, "share": 0.14, "row": 0.25, "column": 0.9}
    assert from_plain(Threat, plain, AXES) == PATCH
    assert from_plain(Threat, {"norm": "patch", "share": 0.2}, AXES) == Patch(share=0.2)
    assert AuditPlan(epsilons=(0.5, 1.0), norm="patch").threats == (Patch(0.5), Patch(1.0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epsilon": 8.0}, r"epsilon must be in pixel units on \[0, 1\]; got 8"),
        ({"epsilon": -0.1}, "epsilon must be at least 0"),
        ({"share": 0.0}, r"share must be in \(0, 1\], of the image's area; got 0"),
        ({"share": 1.1}, r"share must be in \(0, 1\]"),
        ({"row": -0.1}, r"row must be in \[0, 1\], a share of the height; got -0.1"),
        ({"column": 1.01}, r"column must be in \[0, 1\], a share of the width; got 1.01"),
        ({"share": math.nan}, "share must be"),
    ],
)
def test_what_is_no_patch_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Patch(**fields)
