"""What does a camera out of focus, frosted glass, a moving hand or a zooming lens do? Four blurs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robustpeft.perturbations.corruption_kind import CorruptionKind, each
from robustpeft.perturbations.resampling import blurred, clipped_zoom
from robustpeft.types import Noise

__all__ = ["BLURS", "disk", "motion_blurred", "motion_weights"]


def _defocus(images: Tensor, noise: Noise, setting: tuple[float, float]) -> Tensor:
    """Return the images under a disk-shaped kernel, borders mirrored without repeating the edge."""
    kernel = disk(*setting).to(images)
    pad = kernel.shape[0] // 2
    while pad >= min(images.shape[-2:]):  # a mirror shows no more than the image
        kernel, pad = kernel[1:-1, 1:-1], pad - 1
    weights = (kernel / kernel.sum())[None, None]
    return each(lambda image: F.conv2d(F.pad(image[:, None], (pad,) * 4, mode="reflect"), weights)[:, 0], images)


def disk(radius: float, sigma: float) -> Tensor:
    """Return a square kernel, float64: a disk that sums to 1, its edge smoothed by 3 (5 above radius 8) taps."""
    reach = 8 if radius <= 8 else int(radius)
    taps = 1 if radius <= 8 else 2
    line = torch.arange(-reach, reach + 1, dtype=torch.float64)
    inside = (line[:, None] ** 2 + line**2 <= radius**2).double()
    weights = torch.exp(-0.5 * (torch.arange(-taps, taps + 1, dtype=torch.float64) / sigma) ** 2)
    weights = weights / weights.sum()
    padded = F.pad((inside / inside.sum())[None, None], (taps,) * 4, mode="reflect")
    return F.conv2d(padded, (weights[:, None] * weights)[None, None])[0, 0]


def _glass(images: Tensor, noise: Noise, setting: tuple[float, int, int]) -> Tensor:
    """Return the images blurred, every pixel replaced by a near one, rounds times, and blurred again."""
    sigma, reach, rounds = setting
    height, width = images.shape[-2:]
    order = torch.arange(height * width).repeat(len(images), 1).tolist()
    rows = torch.arange(height - reach, reach, -1)
    columns = torch.arange(width - reach, reach, -1)
    places = (rows[:, None] * width + columns).flatten()
    for number in range(rounds):
        shifts = noise.uniform((2, len(places)), purpose=number).cpu()
        steps = (shifts * 2 * reach).floor().long() - reach  # from -reach to reach - 1
        sources = places + steps[:, 0] * width + steps[:, 1]
        for line, near in zip(order, sources.tolist(), strict=True):
            for place, source in zip(places.tolist(), near, strict=True):  # later pixels see what earlier ones became
                line[place] = line[source]
    taken = torch.tensor(order, device=images.device).reshape(len(images), 1, -1)
    smooth = blurred(images, sigma).flatten(2)
    return blurred(smooth.gather(2, taken.expand_as(smooth)).reshape(images.shape), sigma)


def _motion(images: Tensor, noise: Noise, setting: tuple[int, float]) -> Tensor:
    """Return the images smeared in a direction of -45 to 45 degrees."""
    return motion_blurred(images, noise.uniform((), purpose=0) * 90 - 45, *setting)


def motion_blurred(images: Tensor, degrees: Tensor, radius: int, sigma: float) -> Tensor:
    """Return sum_i w_i x(u + round(i cos a), v + round(i sin a)); beyond the border the last pixel goes on.

    Args:
        images: Float (b, c, h, w).
        degrees: Float (b,), the direction a; 0 is to the right, 90 downwards.
        radius: Of the line, in pixels; it has 2 radius + 1 taps.
        sigma: Of its one-sided Gaussian weights, in pixels.
    """
    batch, _, height, width = images.shape
    angle = torch.deg2rad(degrees.double()).to(images.device)
    row, column = (torch.arange(n, device=images.device) for n in (height, width))
    which = torch.arange(batch, device=images.device)[:, None, None]
    result = torch.zeros_like(images)
    for tap, weight in enumerate(motion_weights(radius, sigma).tolist()):
        right, down = (torch.ceil(tap * turn - 0.5).long()[:, None] for turn in (torch.cos(angle), torch.sin(angle)))
        rows = (row + down).clamp(0, height - 1)[:, :, None]
        columns = (column + right).clamp(0, width - 1)[:, None, :]
        result = result + weight * images.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2)
    return result


def motion_weights(radius: int, sigma: float) -> Tensor:
    """Return the weights (2 radius + 1,), float64, proportional to exp(-i^2 / (2 sigma^2)), which sum to 1."""
    weights = torch.exp(-0.5 * (torch.arange(2 * radius + 1, dtype=torch.float64) / sigma) ** 2)
    return weights / weights.sum()


def _zoom(images: Tensor, noise: Noise, setting: tuple[float, int]) -> Tensor:
    """Return the mean of the images and of `count` zooms by 1, 1 + step, 1 + 2 step, ..."""
    step, count = setting
    total = images
    for number in range(count):
        total = total + clipped_zoom(images, 1 + number * step)
    return total / (count + 1)


BLURS: Mapping[str, CorruptionKind] = {
    "defocus_blur": CorruptionKind(
        _defocus,
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    ),
    "glass_blur": CorruptionKind(
        _glass,
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    ),
    "motion_blur": CorruptionKind(
        _motion,
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    ),
    "zoom_blur": CorruptionKind(
        _zoom,
        ((0.01, 12), (0.01, 16), (0.02, 11), (0.02, 13), (0.03, 11)),
        ((0.01, 7), (0.01, 12), (0.01, 16), (0.01, 21), (0.01, 26)),
    ),
}
"""The blur group; settings: (radius, edge), (sigma, reach, rounds), (radius, sigma), (step, count), in pixels."""
