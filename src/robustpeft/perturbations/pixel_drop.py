"""What if single pixels of the image are missing?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from robustpeft.perturbations.base import Perturbation
from robustpeft.perturbations.cells import Fill, check_drop, drop_cells
from robustpeft.types import Noise

__all__ = ["PixelDrop"]


@final
@dataclass(frozen=True)
class PixelDrop(Perturbation):
    """Fills exactly round(ratio * h * w) pixels, all three channels of each, chosen at random.

    Args:
        ratio: Share of the pixels to drop, in [0, 1]; pixels dropped at one ratio are dropped at every larger one.
        fill: What a dropped pixel shows, in pixel units before normalisation: a grey level in [0, 1], or (red, green,
            blue).
        per_batch: All images lose the same pixels.

    Raises:
        UserError: If a field is out of range.

    Source:
        Ruan et al. 2024, "Understanding Robustness of Parameter-Efficient Tuning for Image Classification", arXiv
        2410.09845, names it; their fill and ratios are not published, so these are our own.
    """

    ratio: float
    fill: Fill = 0.0

    def __post_init__(self) -> None:
        check_drop(self.ratio, self.fill)

    def apply(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the images with pixels filled."""
        return drop_cells(images, noise, cell=1, ratio=self.ratio, fill=self.fill)
