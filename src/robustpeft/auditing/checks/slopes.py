"""Is a gradient true? It must say by how much the function changes over a small step; a masked one does not."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robustpeft.auditing.checks.case import Sample

__all__ = ["slope_mismatch"]

_STEP = 2e-4  # of a pixel's range: small enough for smooth networks, large enough for float32
_WRONG = 0.5
_NOISE = 2e-6  # rounding of a float32 forward, in units of the largest output


def slope_mismatch(function: Callable[[Tensor], Tensor], sample: Sample) -> tuple[int, int]:
    """Return on how many images the gradient is wrong, and on how many this could be told.

    The function's outputs (b, k) are weighted by the sign of the margin between the label and the largest other one.
    With g the gradient of that sum, two directions are tried: sign(g), and a random sign for every pixel.

        predicted = 2 h <g, d>,   actual = f(x + h d) - f(x - h d),   h = 2e-4
        wrong where |actual - predicted| > max(|actual|, |predicted|) / 2, if that maximum is above rounding

    An image counts as wrong if any direction that could be told is. Where the gradient is exactly 0, only the random
    direction tells.

    Cost:
        5 forwards and 1 backward an image.
    """
    with torch.enable_grad():
        points = sample.images.detach().clone().requires_grad_(True)
        outputs = function(points).float()
        weights = _weights(outputs.detach(), sample.labels)
        (gradient,) = torch.autograd.grad((outputs * weights).sum(), points, allow_unused=True)
    found: Tensor | None = gradient  # None where the outputs do not depend on the images
    slope = torch.zeros_like(points) if found is None else found
    generator = torch.Generator().manual_seed(0)
    chance = torch.rand(points.shape, generator=generator).to(points.device) - 0.5
    wrong = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    told = torch.zeros_like(wrong)
    noise = _NOISE * outputs.detach().abs().amax(dim=1).clamp_min(1e-6)
    for direction in (slope.sign(), chance.sign()):
        with torch.no_grad():
            ahead, behind = (function(points.detach() + s * _STEP * direction).float() for s in (1.0, -1.0))
        actual = ((ahead - behind) * weights).sum(dim=1)
        predicted = 2 * _STEP * (slope * direction).flatten(1).sum(dim=1)
        largest = torch.maximum(actual.abs(), predicted.abs())
        counts = largest > 20 * noise
        wrong |= counts & ((actual - predicted).abs() > _WRONG * largest)
        told |= counts
    return int(wrong.sum()), int(told.sum())


def _weights(outputs: Tensor, labels: Tensor) -> Tensor:
    weights = torch.zeros_like(outputs)
    others = outputs.scatter(1, labels[:, None], -torch.inf).argmax(dim=1)
    weights.scatter_(1, others[:, None], 1.0)
    weights.scatter_(1, labels[:, None], -1.0)
    return weights
