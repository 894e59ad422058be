"""Which perturbations suit images of this size? The four kinds, each at several strengths.

They depend on the size of the images and on nothing of the model, so that records of different models can be compared.
"""

from __future__ import annotations

import math

from robustpeft.perturbations import GaussianNoise, PatchDrop, PatchShuffle, Perturbation, PixelDrop

__all__ = ["default_perturbations"]

_RATIOS = (0.1, 0.3, 0.5, 0.7)
_GRIDS = (2, 4, 8, 14)  # the square grids of Naseer et al. 2021 (arXiv 2105.10497) with at least 16 px at 224 px
_SIGMAS = (0.05, 0.1, 0.2)


def default_perturbations(image_size: tuple[int, int], patch_size: int | None = None) -> tuple[Perturbation, ...]:
    """Return the default strengths of all four perturbations.

    Args:
        image_size: Height and width in pixels.
        patch_size: Side of a dropped patch, a divisor of both; None for the divisor nearest to an eighth of the
            image, at least 4 and at most 16: what ViTs for images of that size use.

    Returns:
        Patch and pixel drop at ratios 0.1 to 0.7, patch shuffle on up to four grids whose patches have at least 2
        pixels a side, Gaussian noise at sigma 0.05 to 0.2. An image whose sides share no such divisor gets no patch
        drop or no patch shuffle.
    """
    shared = math.gcd(*image_size)
    divisors = [d for d in range(2, shared // 2 + 1) if shared % d == 0]
    if patch_size is None and divisors:
        patch_size = _nearest(divisors, min(16.0, max(4.0, shared / 8)))
    grids = sorted({_nearest(divisors, grid) for grid in _GRIDS}) if divisors else []
    return (
        *(PatchDrop(ratio, patch_size=patch_size) for ratio in _RATIOS if patch_size is not None),
        *(PixelDrop(ratio) for ratio in _RATIOS),
        *(PatchShuffle(grid) for grid in grids),
        *(GaussianNoise(sigma) for sigma in _SIGMAS),
    )


def _nearest(divisors: list[int], wanted: float) -> int:
    return min(divisors, key=lambda divisor: abs(divisor - wanted))
