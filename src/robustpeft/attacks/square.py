"""Square Attack: random search by the scores alone; a try changes one square window of the image.

    Linf:  x' = clip(x + epsilon * s) in the window, s a random sign per channel; x' = best elsewhere
    L2:    x' moves the mass of one window to a bump in another (`square_l2.py`)
    best = x' where its margin is larger than any before

Source: Andriushchenko et al. 2020, arXiv:1912.00049, Algorithms 1 to 3, with the margin as loss, p_init = 0.8 and the
schedule of 10,000 queries taken as it is however many there are, as AutoAttack has it (arXiv:2003.01690; its
``resc_schedule=False``). Differs: every image has windows of its own, where the reference implementation has one for
all images of a batch. The gradient is never asked for, so the attack sees through what hides it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.losses import margin
from robustpeft.attacks.rows import row_where
from robustpeft.attacks.search import Course, Query, Search, State
from robustpeft.attacks.square_l2 import bump_in, moved_mass, tiled, tiles
from robustpeft.attacks.square_windows import halvings, lookup, place, signs, window_sides
from robustpeft.attacks.target import Target
from robustpeft.types import COUNT, Interval, check_fields

__all__ = ["Square"]


@dataclass(frozen=True, kw_only=True)
class SquareState(State):
    """The best that was seen.

    Args:
        best: The points; before the first pass, where it will look.
        margins: Their margins (b,); minus infinity before the first pass.
    """

    best: Tensor
    margins: Tensor


@final
@dataclass(frozen=True)
class Square(Search[SquareState]):
    """Random search in square windows, by the logits alone.

    Under a threat that is neither Linf nor L2 the windows are those of Linf, projected into the threat. Where only a
    part of the image may move (a patch), that part is to the windows what the whole image is otherwise, but that they
    may lie at its last row and column: of a small patch these are a large share.

    Draws, in this order, uniform on [0, 1) and all of purpose 0. First point: in Linf, the sign of each channel's
    column (c, 1, w), negative below a half; in L2, those of `tiled`. Every window: row and column, in L2 also those of
    the losing window and whether the bump lies on its side (above a half); then the sign of each channel.

    Args:
        queries: Windows tried in each run, at least 1; the first point is one pass more, as in the reference.
        restarts: Independent runs, at least 1.
        p_init: Share of the image's area that the first windows cover, in (0, 1].
        rescaled: Stretch the schedule of the windows' sizes, made for 10,000 queries, to the number of queries.
    """

    cost: ClassVar[str] = "restarts x (queries + 1) forwards, no backward"

    queries: int = 5000
    restarts: int = 1
    p_init: float = 0.8
    rescaled: bool = False

    def __post_init__(self) -> None:
        check_fields(self, queries=COUNT, restarts=COUNT, p_init=Interval(0, 1, "(]"))

    def course(self, classes: int) -> Course:
        """Return one pass for the first point and one for every window, all without gradient."""
        return Course(passes=self.queries + 1, runs=self.restarts)

    def init(self, target: Target) -> SquareState:
        """Return stripes of one pixel's width; in L2, a bump in every cell of a grid."""
        images, threat = target.images, target.threat
        channels, height, width = images.shape[1:]
        if threat.norm == "l2":
            rows, columns = tiles(height, width)
            best = tiled(images, threat.epsilon, target.noise.uniform((rows * columns * (1 + channels),)))
        else:
            stripes = signs(target.noise.uniform((channels, 1, width))).to(images.dtype)
            best = _at_distance(target, stripes)
        margins = torch.full((len(images),), -torch.inf, device=images.device)
        return SquareState(step=torch.zeros_like(target.labels), best=best, margins=margins)

    def propose(self, target: Target, state: SquareState) -> Query:
        """Return the best points changed in one window; at first, the first points."""
        images, threat = target.images, target.threat
        channels, height, width = images.shape[1:]
        in_l2 = threat.norm == "l2"
        top, left, rows, columns = threat.region(height, width)
        sides = window_sides(self.p_init, rows, columns, odd=in_l2)
        tried = halvings(self.queries, self.rescaled, images.device)[(state.step - 1).clamp_min(0)]
        side = lookup(sides, images.device)[tried]
        draws = target.noise.uniform(((5 if in_l2 else 2) + channels,))
        sign = signs(draws[:, -channels:]).to(images.dtype)[:, :, None, None]
        begun = state.step > 0
        if not in_l2:
            part = place(draws[:, :2], side, rows, columns, last=(rows, columns) != (height, width))
            inside = part.placed(top, left, height, width).mask(begun)
            points = torch.where(inside, _at_distance(target, sign), state.best)
            return Query(points if threat.norm == "linf" else target.within(points))
        window = place(draws[:, :2], side, height, width)
        other = place(draws[:, 2:4], side, height, width)
        bump = bump_in(window, draws[:, 4] > 0.5, sides, tried).to(images.dtype)
        points = moved_mass(images, state.best, threat.epsilon, window, other, bump, sign)
        return Query(row_where(begun, points, state.best))

    def update(self, target: Target, state: SquareState, reply: Reply) -> SquareState:
        """Return the better of the best points and those just seen."""
        margins = margin(reply.logits, target.labels)
        better = margins > state.margins
        return SquareState(
            step=state.step + 1,
            best=row_where(better, reply.points, state.best),
            margins=torch.where(better, margins, state.margins),
        )


def _at_distance(target: Target, sign: Tensor) -> Tensor:
    """Return the images moved by epsilon along the signs, within the threat."""
    moved = target.images + target.threat.epsilon * sign
    # In Linf there is nothing to project but the box: a fifth of the time.
    return moved.clamp_(0.0, 1.0) if target.threat.norm == "linf" else target.within(moved)
