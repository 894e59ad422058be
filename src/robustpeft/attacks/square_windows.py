"""Where does Square Attack look next? In a square window of a size that shrinks with the passes, at a random place."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Window", "halvings", "lookup", "place", "signs", "window_sides"]

_BOUNDS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


@functools.lru_cache(maxsize=8)
def halvings(queries: int, rescaled: bool, device: torch.device) -> Tensor:
    """Return int64 (queries,): how often the share of the image has been halved when a window is tried.

    The share is halved after the windows 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000; rescaled, window i of n
    counts as window ``floor(10000 i / n)`` of 10000.

    Source: the reference implementation of arXiv:1912.00049.
    """
    windows = [int(i / queries * 10_000) if rescaled else i for i in range(queries)]
    halved = [sum(bound < window for bound in _BOUNDS) for window in windows]
    return torch.tensor(halved, dtype=torch.int64, device=device)


def window_sides(p_init: float, height: int, width: int, *, odd: bool) -> tuple[int, ...]:
    """Return the side of the window in pixels, after 0, 1, ... 9 halvings of the share `p_init`.

    Args:
        p_init: Share of the image's area that the first windows cover.
        height: Of the image, in pixels.
        width: Likewise.
        odd: At least 3 and odd where the image is large enough, as the L2 variant needs it; if not, at least 1.
    """
    sides = []
    for halved in range(len(_BOUNDS) + 1):
        side = max(round(math.sqrt(p_init / 2**halved * height * width)), 3 if odd else 1)
        sides.append(min(side + (odd and side % 2 == 0), height, width))
    return tuple(sides)


@functools.lru_cache(maxsize=8)
def lookup(sides: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the sides as int64 on the device, copied there once; shared, not to be changed."""
    return torch.tensor(sides, dtype=torch.int64, device=device)


@dataclass(frozen=True)
class Window:
    """One square window per image.

    Args:
        top: Int64 (b,), its first row.
        left: Int64 (b,), its first column.
        side: Int64 (b,), in pixels.
        height: Of the images, in pixels.
        width: Likewise.
    """

    top: Tensor
    left: Tensor
    side: Tensor
    height: int
    width: int

    def placed(self, top: int, left: int, height: int, width: int) -> Window:
        """Return the same window in images of this size, of which its own were the part from this row and column on."""
        return Window(self.top + top, self.left + left, self.side, height, width)

    @property
    def rows(self) -> Tensor:
        """Int64 (b, h): the row of each pixel counted from the window's first."""
        return torch.arange(self.height, device=self.top.device) - self.top[:, None]

    @property
    def columns(self) -> Tensor:
        """Int64 (b, w): the column of each pixel counted from the window's first."""
        return torch.arange(self.width, device=self.left.device) - self.left[:, None]

    def mask(self, where: Tensor | None = None) -> Tensor:
        """Return bool (b, 1, h, w): the pixels in the window; none of an image for which `where` (b,) does not hold."""
        rows, columns, side = self.rows, self.columns, self.side[:, None]
        in_rows = (rows >= 0) & (rows < side)
        if where is not None:
            in_rows = in_rows & where[:, None]
        in_columns = (columns >= 0) & (columns < side)
        return in_rows[:, None, :, None] & in_columns[:, None, None, :]


def place(draws: Tensor, side: Tensor, height: int, width: int, *, last: bool = False) -> Window:
    """Return the windows whose first row and column are ``floor(u * (length - side))``, u the two draws (b, 2).

    As in the reference implementation the last place is left out, row ``height - side`` is never the first; with
    `last` it is a place like the others, ``floor(u * (length - side + 1))``.
    """
    top, left = ((draws[:, axis] * (length - side + last)).long() for axis, length in ((0, height), (1, width)))
    return Window(top, left, side, height, width)


def signs(draws: Tensor) -> Tensor:
    """Return -1 for draws below a half, else 1."""
    return torch.where(draws < 0.5, -1.0, 1.0)
