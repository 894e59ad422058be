"""What do clouds look like? Fractal heights by the diamond-square algorithm, one map per image."""

from __future__ import annotations

import torch
from torch import Tensor

from robustpeft.types import Noise

__all__ = ["plasma"]


def plasma(noise: Noise, height: int, width: int, decay: float, purpose: int = 0) -> Tensor:
    """Return heights (b, h, w) in [0, 1], float64: the corner of a square map that wraps round at its ends.

    Every halving of the grid sets the middle of each square, then of each edge, to the mean of its four neighbours
    plus uniform noise in [-a^2, a^2], with a = 100 at first and a / decay after every halving; at last the map is
    scaled to [0, 1].

    Args:
        noise: One row per image.
        height: Of the part returned, in pixels.
        width: Likewise.
        decay: Above 1; the larger, the smoother.
        purpose: Separates maps of one image.

    Source:
        Fournier, Fussell and Carpenter 1982, "Computer rendering of stochastic models"; the amplitudes are those of
        Hendrycks and Dietterich 2019 (arXiv 1903.12261, released code), where it is fog.
    """
    side = 1 << max(1, (max(height, width) - 1).bit_length())
    heights = torch.zeros(len(noise.ids), side, side, dtype=torch.float64, device=noise.ids.device)
    stride, amplitude, level = side, 100.0, 0
    while stride >= 2:
        half, spread = stride // 2, amplitude**2
        cells = side // stride

        def jitter(part: int, spread: float = spread, cells: int = cells, level: int = level) -> Tensor:
            drawn = noise.uniform((cells, cells), purpose=1000 * purpose + 3 * level + part)
            return (2 * drawn.double() - 1) * spread

        corners = heights[:, ::stride, ::stride]
        pairs = corners + corners.roll(-1, 1)
        heights[:, half::stride, half::stride] = (pairs + pairs.roll(-1, 2)) / 4 + jitter(0)
        centres = heights[:, half::stride, half::stride]
        upright = centres + centres.roll(1, 1) + corners + corners.roll(-1, 2)
        level_edges = centres + centres.roll(1, 2) + corners + corners.roll(-1, 1)
        heights[:, ::stride, half::stride] = upright / 4 + jitter(1)
        heights[:, half::stride, ::stride] = level_edges / 4 + jitter(2)
        stride, amplitude, level = half, amplitude / decay, level + 1
    low, high = heights.amin(dim=(1, 2), keepdim=True), heights.amax(dim=(1, 2), keepdim=True)
    return ((heights - low) / (high - low))[:, :height, :width]
