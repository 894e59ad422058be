"""What does a poor sensor do? Gaussian, shot and impulse noise."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from robustpeft.perturbations.corruption_kind import CorruptionKind
from robustpeft.types import Noise

__all__ = ["NOISES", "poisson"]


def _gaussian(images: Tensor, noise: Noise, sigma: float) -> Tensor:
    """Return x + sigma N(0, 1)."""
    return images + sigma * noise.normal(images.shape[1:]).to(images.dtype)


def _shot(images: Tensor, noise: Noise, photons: float) -> Tensor:
    """Return Poisson(photons x) / photons: variance x / photons."""
    return poisson(images.detach() * photons, noise.uniform(images.shape[1:])).to(images.dtype) / photons


def _impulse(images: Tensor, noise: Noise, share: float) -> Tensor:
    """Return x with `share` of all values, each channel on its own, turned into 0 or 1."""
    hit = noise.uniform(images.shape[1:]) < share
    salt = (noise.uniform(images.shape[1:], purpose=1) < 0.5).to(images.dtype)
    return torch.where(hit, salt, images)


def poisson(rates: Tensor, uniform: Tensor) -> Tensor:
    """Return the Poisson quantiles of uniform numbers: the number of k with P[X <= k] <= u.

    Args:
        rates: Means, 0 to 700.
        uniform: Numbers in [0, 1) of the same shape; a larger rate never gives a smaller count for the same number.
    """
    rate, level = rates.double(), uniform.double()
    share = torch.exp(-rate)
    reached, counts = share.clone(), torch.zeros_like(rate)
    limit = int(float(rate.max()) + 12 * float(rate.max()) ** 0.5 + 30) if rate.numel() else 0
    for count in range(1, limit + 1):
        above = level >= reached
        if not bool(above.any()):
            break
        counts += above
        share = share * rate / count
        reached += share
    return counts


NOISES: Mapping[str, CorruptionKind] = {
    "gaussian_noise": CorruptionKind(_gaussian, (0.08, 0.12, 0.18, 0.26, 0.38), (0.04, 0.06, 0.08, 0.09, 0.1)),
    "shot_noise": CorruptionKind(_shot, (60, 25, 12, 5, 3), (500, 250, 100, 75, 50)),
    "impulse_noise": CorruptionKind(_impulse, (0.03, 0.06, 0.09, 0.17, 0.27), (0.01, 0.02, 0.03, 0.05, 0.07)),
}
"""The noise group; settings: standard deviation, photons at white, share of values."""
