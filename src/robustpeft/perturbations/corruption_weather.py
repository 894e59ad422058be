"""What does the weather do? Snow, frost, fog and brightness; frost is ours, drawn instead of photographed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from robustpeft.perturbations.corruption_blur import motion_blurred
from robustpeft.perturbations.corruption_kind import CorruptionKind
from robustpeft.perturbations.plasma import plasma
from robustpeft.perturbations.resampling import clipped_zoom
from robustpeft.types import Noise

__all__ = ["WEATHER", "crystals"]

_LUMA = (0.299, 0.587, 0.114)
_ICE = (0.82, 0.91, 1.0)


def _snow(images: Tensor, noise: Noise, setting: tuple[float, float, float, float, int, float, float]) -> Tensor:
    """Return the images whitened, under flakes that fall at -135 to -45 degrees and the same flakes turned by 180."""
    mean, spread, zoom, threshold, radius, sigma, kept = setting
    flakes = mean + spread * noise.normal((1, *images.shape[-2:])).to(images.dtype)
    flakes = clipped_zoom(flakes, zoom)
    flakes = torch.where(flakes < threshold, 0.0, flakes).clamp(0, 1)
    flakes = motion_blurred(flakes, noise.uniform((), purpose=1) * 90 - 135, radius, sigma)
    grey = (images * images.new_tensor(_LUMA).reshape(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    whitened = kept * images + (1 - kept) * torch.maximum(images, 1.5 * grey + 0.5)
    return whitened + flakes + flakes.flip(2, 3)


def _frost(images: Tensor, noise: Noise, setting: tuple[float, float]) -> Tensor:
    """Return kept x + cover ice: the published weights, with ice that is drawn."""
    kept, cover = setting
    ice = crystals(noise, *images.shape[-2:])[:, None] * torch.tensor(_ICE).reshape(1, 3, 1, 1).to(noise.ids.device)
    return kept * images + cover * ice.to(images.dtype)


def crystals(noise: Noise, height: int, width: int) -> Tensor:
    """Return ice (b, h, w) in [0, 1]: sharp ridges where two fractal maps cross their middle, on a fine haze.

    0.25 haze + 0.75 max(1 - |2 p - 1|, 1 - |2 q - 1|)^4
    """
    ridges = [1 - (2 * plasma(noise, height, width, 1.7, purpose=part) - 1).abs() for part in (0, 1)]
    return 0.25 * plasma(noise, height, width, 1.3, purpose=2) + 0.75 * torch.maximum(*ridges) ** 4


def _fog(images: Tensor, noise: Noise, setting: tuple[float, float]) -> Tensor:
    """Return (x + thickness clouds) max(x) / (max(x) + thickness)."""
    thickness, decay = setting
    brightest = images.amax(dim=(1, 2, 3), keepdim=True)
    clouds = plasma(noise, images.shape[-2], images.shape[-1], decay)[:, None].to(images.dtype)
    return (images + thickness * clouds) * brightest / (brightest + thickness)


def _brightness(images: Tensor, noise: Noise, added: float) -> Tensor:
    """Return the images with `added` to the value V = max(r, g, b) of HSV: x min(V + added, 1) / V, grey if V = 0."""
    value = images.amax(dim=1, keepdim=True)
    brighter = (value + added).clamp_max(1.0)
    return torch.where(value > 0, images * (brighter / value.clamp_min(1e-12)), brighter)


WEATHER: Mapping[str, CorruptionKind] = {
    "snow": CorruptionKind(
        _snow,
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    ),
    "frost": CorruptionKind(
        _frost,
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    ),
    "fog": CorruptionKind(
        _fog,
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    ),
    "brightness": CorruptionKind(_brightness, (0.1, 0.2, 0.3, 0.4, 0.5), (0.05, 0.1, 0.15, 0.2, 0.3)),
}
"""The weather group; settings: (mean, spread, zoom, threshold, radius, sigma, kept), (kept, cover), (thickness, decay),
value added."""
