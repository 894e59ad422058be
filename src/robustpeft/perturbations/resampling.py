"""How is an image smoothed or resized? By one matrix for the rows and one for the columns, borders folded in."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from robustpeft.perturbations.corruption_kind import each

__all__ = ["blurred", "box_matrix", "clipped_zoom", "gaussian_matrix", "resized"]


def blurred(images: Tensor, sigma: float, *, mirror: bool = False, truncate: float = 4.0) -> Tensor:
    """Return images (b, c, h, w) after a Gaussian filter of `sigma` pixels; see `gaussian_matrix` for the border."""
    height, width = images.shape[-2:]
    rows, columns = (gaussian_matrix(n, sigma, mirror, truncate).to(images) for n in (height, width))
    return each(lambda image: rows @ image @ columns.T, images)


@functools.lru_cache(maxsize=32)
def gaussian_matrix(n: int, sigma: float, mirror: bool, truncate: float) -> Tensor:
    """Return the matrix (n, n), float64, that smooths n values in a line; its rows sum to 1.

    weights exp(-k^2 / (2 sigma^2)) for |k| <= round(truncate * sigma), as in scipy.ndimage.gaussian_filter1d; beyond
    the ends the last value goes on (its mode ``nearest``) or, with `mirror`, the line is reflected (``reflect``).
    """
    if sigma == 0:
        return torch.eye(n, dtype=torch.float64)
    radius = int(truncate * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    sources = torch.arange(n)[:, None] + offsets
    if mirror:
        sources = sources.remainder(2 * n)
        sources = torch.minimum(sources, 2 * n - 1 - sources)
    matrix = torch.zeros(n, n, dtype=torch.float64)
    return matrix.scatter_add_(1, sources.clamp(0, n - 1), (weights / weights.sum()).expand(n, -1))


@functools.lru_cache(maxsize=32)
def box_matrix(new: int, old: int) -> Tensor:
    """Return the matrix (new, old), float64, that resizes a line by Pillow's box filter; its rows sum to 1.

    A new pixel is the mean of the old ones whose centres it covers; a pixel is either covered or not.
    """
    scale = old / new
    width = max(scale, 1.0)
    centres = (torch.arange(new, dtype=torch.float64) + 0.5) * scale
    distance = (torch.arange(old, dtype=torch.float64) + 0.5 - centres[:, None]) / width
    covered = ((distance > -0.5) & (distance <= 0.5)).double()
    return covered / covered.sum(dim=1, keepdim=True)


def resized(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return images (b, c, h, w) as (b, c, h', w') by the matrices (h', h) and (w', w)."""
    rows, columns = rows.to(images), columns.to(images)
    return each(lambda image: rows @ image @ columns.T, images)


def clipped_zoom(images: Tensor, factor: float) -> Tensor:
    """Return the centre of images (b, c, h, w), magnified by `factor` >= 1 to the same size, bilinear.

    The crop is of ceil(side / factor) pixels and grows to round(crop * factor), whose corners are the crop's.
    """
    sizes = images.shape[-2:]
    crops = [math.ceil(side / factor) for side in sizes]
    grown = [max(round(crop * factor), side) for crop, side in zip(crops, sizes, strict=True)]
    top, left = ((side - crop) // 2 for side, crop in zip(sizes, crops, strict=True))
    crop = images[..., top : top + crops[0], left : left + crops[1]]
    large = F.interpolate(crop, size=grown, mode="bilinear", align_corners=True)
    top, left = ((big - side) // 2 for big, side in zip(grown, sizes, strict=True))
    return large[..., top : top + sizes[0], left : left + sizes[1]]
