"""How is a share of an image dropped? By filling square cells of a grid; how many is exact, which ones is random."""

from __future__ import annotations

from torch import Tensor

from robustpeft.errors import UserError
from robustpeft.types import Noise

__all__ = ["Fill", "check_drop", "drop_cells"]

Fill = float | tuple[float, float, float]
"""What a dropped cell shows: one grey level, or one level for each of red, green and blue; pixel units on [0, 1]."""


def check_drop(ratio: float, fill: Fill) -> None:
    """Raise unless a drop with this ratio and fill is possible.

    Raises:
        UserError: If the ratio or the fill lies outside [0, 1], or the fill is neither a number nor three.
    """
    if not 0 <= ratio <= 1:
        hint = f" (did you mean {ratio / 100:g}?)" if 1 < ratio <= 100 else ""
        raise UserError(f"ratio must be a share in [0, 1]; got {ratio:g}{hint}")
    if isinstance(fill, tuple) and len(fill) != 3:
        raise UserError(f"fill must be one number, or a tuple of three (red, green, blue); got {fill}")
    levels: tuple[object, ...] = fill if isinstance(fill, tuple) else (fill,)
    if not all(isinstance(level, int | float) and 0 <= level <= 1 for level in levels):
        raise UserError(f"fill must be in pixel units on [0, 1], before normalisation; got {fill}")


def drop_cells(images: Tensor, noise: Noise, *, cell: int, ratio: float, fill: Fill) -> Tensor:
    """Return the images with round(ratio * number of cells) cells of each filled.

    The cells are taken in a random order that does not depend on the ratio, so that what is dropped at one ratio is
    dropped at every larger one too (common random numbers: a curve over ratios is not jagged by chance).

    Args:
        images: Float (b, 3, h, w).
        noise: One row per image.
        cell: Side of a cell in pixels; divides h and w.
        ratio: Share of cells to drop, in [0, 1]; a half cell is rounded to the even count.
        fill: What a dropped cell shows.

    Raises:
        UserError: If the cells do not tile the image.
    """
    height, width = images.shape[-2:]
    if height % cell or width % cell:
        raise UserError(f"patch_size must divide the image's height and width; got {cell} for {height} x {width}")
    rows, columns = height // cell, width // cell
    rank = noise.permutation(rows * columns)
    dropped = (rank < round(ratio * rows * columns)).reshape(-1, 1, rows, columns)
    mask = dropped.repeat_interleave(cell, dim=2).repeat_interleave(cell, dim=3)
    colour = images.new_tensor(fill).reshape(1, -1, 1, 1)
    return colour.where(mask, images)
