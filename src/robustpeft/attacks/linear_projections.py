"""How far is a hyperplane, for an image that must stay an image? The shortest way to it inside [0, 1].

    minimise |d|  such that  w . d = -offset  and  0 <= x + d <= 1

Every pixel moves against the sign of offset * w_i until the plane is reached or the pixel is at the edge of the box:

    d_i = -sign(offset * w_i) * min(t * s_i, room_i),   s_i = 1 in linf, |w_i| in l2,   room_i = x_i or 1 - x_i

The way made, sum_i |w_i| min(t * s_i, room_i), is linear in t between the moments room_i / s_i at which pixels stop; so
these are sorted, the last one before the plane is found by binary search, and what is left is a division.

Source: Croce and Hein 2020, arXiv:1907.02044, Section 2.2 and Appendix A.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from robustpeft.errors import UserError

__all__ = ["to_hyperplane"]

_NEVER = 1e30  # when a pixel without weight stops; times a sum of weights still finite in float32


def to_hyperplane(points: Tensor, weights: Tensor, offset: Tensor, norm: str) -> Tensor:
    """Return the shortest d (b, n) with ``w . d = -offset`` and ``x + d`` in [0, 1], each row by itself.

    Where the plane does not cross the box, d leads to the corner nearest to it. Pixels without weight do not move.

    Args:
        points: x, float (b, n) in [0, 1].
        weights: w, float (b, n).
        offset: Float (b,), ``w . x`` minus its value on the plane.
        norm: ``linf`` or ``l2``.

    Raises:
        UserError: For another norm.
    """
    if norm not in ("linf", "l2"):
        raise UserError(f"the way to a hyperplane is known in linf and l2; got {norm!r}")
    towards = torch.where(offset[:, None] < 0, weights, -weights)
    # With a largest weight of 1 the squares of tiny ones do not underflow.
    largest = weights.abs().amax(dim=1)
    scale = torch.where(largest > 0, largest, torch.ones_like(largest))
    pull = weights.abs() / scale[:, None]
    room = torch.where(towards < 0, points, 1 - points)
    speed = pull if norm == "l2" else torch.ones_like(pull)
    time = _time(pull, room, speed, offset.abs() / scale)
    return towards.sign() * torch.minimum(time * speed, room)


def _time(pull: Tensor, room: Tensor, speed: Tensor, wanted: Tensor) -> Tensor:
    """Return the t (b, 1) at which ``sum_i pull_i min(t * speed_i, room_i) = wanted``, or else the last stop."""
    stops, order = torch.where(speed > 0, room / speed, _NEVER).clamp_max(_NEVER).sort(dim=1)
    arrived = (pull * room).gather(1, order).cumsum(dim=1)
    arrived = F.pad(arrived, (1, 0))[:, :-1]  # way of the pixels that stopped before each stop
    moving = (pull * speed).gather(1, order).flip(1).cumsum(dim=1).flip(1)  # pace of the others, it among them
    made = arrived + stops * moving
    place = torch.searchsorted(made, wanted[:, None].to(made))
    last = place.clamp_max(stops.shape[1] - 1)
    left = wanted[:, None] - arrived.gather(1, last)
    time = left / moving.gather(1, last).clamp_min(torch.finfo(moving.dtype).tiny)
    # What is left is a difference of sums: where little moves on, its rounding may lead beyond the two stops.
    since = F.pad(stops, (1, 0)).gather(1, last)
    return time.clamp(min=since, max=stops.gather(1, last))
