"""How does Square Attack spend a Euclidean budget? On bumps in windows: what one window loses, another gains.

Source: Andriushchenko et al. 2020, arXiv:1912.00049, Algorithm 3, as its reference implementation reads.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from robustpeft.attacks.square_windows import Window, signs

__all__ = ["bump", "bump_in", "bumps", "moved_mass", "tiled", "tiles"]

_TINY = 1e-12  # what keeps the reference implementation from dividing by 0


def bump(side: int) -> Tensor:
    """Return float32 (side, side) of Euclidean length 1: a hill in the upper half and a hollow in the lower one.

    In a half of r rows and s columns, the pixel at distance d (the larger of rows and columns) from pixel
    (r // 2, s // 2) has the height ``sum of 1 / (k + 1)**2 for k = d ... max(r // 2, s // 2)``.
    """
    upper, lower = _hill(side // 2, side), _hill(side - side // 2, side)
    whole = torch.cat([upper, -lower])
    return (whole / whole.square().sum().sqrt()).float()


@functools.lru_cache(maxsize=8)
def bumps(sides: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the bumps of these sides, float32 (len(sides), s + 1, s + 1), s the largest, in upper left corners of 0.

    The value is shared: not to be changed.
    """
    longest = max(sides)
    table = torch.zeros(len(sides), longest + 1, longest + 1)
    for corner, side in zip(table, sides, strict=True):
        corner[:side, :side] = bump(side)
    return table.to(device)


def bump_in(window: Window, lying: Tensor, sides: tuple[int, ...], which: Tensor) -> Tensor:
    """Return float32 (b, 1, h, w): a bump that fills the window, 0 elsewhere.

    Args:
        window: One per image.
        lying: Bool (b,), turned on its side: rows become columns.
        sides: Of which windows there are.
        which: Int64 (b,), the place of this window's side in `sides`.
    """
    table = bumps(sides, which.device)
    edge = table.shape[1]
    # Whatever is before the window or behind the longest one is looked up in the last row or column, where nothing is.
    row, column = (torch.where((at < 0) | (at >= edge), edge - 1, at) for at in (window.rows, window.columns))
    lying, start = lying[:, None], which[:, None] * edge * edge
    place = (start + row * torch.where(lying, 1, edge))[:, :, None] + (column * torch.where(lying, edge, 1))[:, None]
    return table.take(place)[:, None]


def tiles(height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of cells in the first point of images of this size."""
    side = _tile_side(height)
    return height // side, width // side


def tiled(images: Tensor, epsilon: float, draws: Tensor) -> Tensor:
    """Return the first points (b, c, h, w): a bump in every cell of a grid, scaled to length epsilon, cut to [0, 1].

    Differs from the reference implementation only where that fails: cells are at least one pixel wide, and cut off at
    the edge of the image.

    Args:
        images: (b, c, h, w).
        epsilon: Length of the perturbation before it is cut.
        draws: Uniform (b, rows * columns * (1 + c)): for each cell, row by row, whether its bump lies on its side
            (above a half), and the sign in each channel.
    """
    height, width = images.shape[2:]
    rows, columns = tiles(height, width)
    side = _tile_side(height)
    start = max((height - 5 * side) // 2, 0)
    row = torch.arange(height, device=images.device)[:, None] - start
    column = torch.arange(width, device=images.device) - start
    covered = (row >= 0) & (row < rows * side) & (column >= 0) & (column < columns * side)
    upright = bumps((side,), images.device)[0].to(images.dtype)[row % side, column % side]
    lying = bumps((side,), images.device)[0].to(images.dtype)[column % side, row % side]
    cell = (row // side).clamp(0, rows - 1) * columns + (column // side).clamp(0, columns - 1)
    here = draws.reshape(len(images), rows * columns, -1)[:, cell]  # (b, h, w, 1 + c)
    shape = torch.where(here[..., 0] > 0.5, lying, upright) * covered
    delta = shape[:, None] * signs(here[..., 1:]).to(images.dtype).permute(0, 3, 1, 2)
    return _scaled(images, delta, epsilon)


def moved_mass(
    images: Tensor, best: Tensor, epsilon: float, gaining: Window, losing: Window, bump: Tensor, sign: Tensor
) -> Tensor:
    """Return the next candidates: the squares in the losing window move into a bump in the gaining one.

    With d = best - images, in each channel:

        new  = sign * bump + d / |d in the gaining window|                      in the gaining window
        d'   = new / |new| * sqrt(|d in either window|**2 + max(epsilon**2 - |d|**2, 0) / c)    there,
               0 in the rest of the losing window, d elsewhere
        x'   = clip(images + epsilon * d' / |d'|)

    Args:
        images: (b, c, h, w), clean.
        best: Likewise, the best points so far.
        epsilon: Length of the perturbation before it is cut.
        gaining: Where the new bump is.
        losing: Where the perturbation becomes 0.
        bump: (b, 1, h, w), of length 1, within the gaining window.
        sign: (b, c, 1, 1).
    """
    delta = best - images
    inside = gaining.mask()
    fresh, held = delta * inside, delta * (inside | losing.mask())
    unspent = (epsilon**2 - _length(delta, (1, 2, 3)).square()).clamp_min(0.0)
    mass = (_length(held, (2, 3)).square() + unspent / images.shape[1]).sqrt()
    fresh.div_(_length(fresh, (2, 3)) + _TINY).addcmul_(bump, sign)
    delta.sub_(held).addcmul_(fresh, mass / (_length(fresh, (2, 3)) + _TINY))
    return _scaled(images, delta, epsilon)


def _scaled(images: Tensor, delta: Tensor, epsilon: float) -> Tensor:
    """Return the images moved by delta at length epsilon, cut to [0, 1]."""
    return torch.addcmul(images, delta, epsilon / (_length(delta, (1, 2, 3)) + _TINY)).clamp_(0.0, 1.0)


def _length(delta: Tensor, dims: tuple[int, ...]) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(delta, dim=dims, keepdim=True)
    return length


def _hill(rows: int, columns: int) -> Tensor:
    distance = torch.maximum(
        (torch.arange(rows) - rows // 2).abs()[:, None], (torch.arange(columns) - columns // 2).abs()
    )
    steps = torch.arange(1, max(rows // 2, columns // 2) + 2, dtype=torch.float64) ** -2
    heights = steps.flip(0).cumsum(0).flip(0)[distance]
    return heights / heights.square().sum().sqrt()  # nothing, if there are no rows


def _tile_side(height: int) -> int:
    return max(height // 5, 1)
