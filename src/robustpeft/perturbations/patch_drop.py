"""What if whole patches of the image are missing?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from robustpeft.errors import UserError
from robustpeft.perturbations.base import Perturbation
from robustpeft.perturbations.cells import Fill, check_drop, drop_cells
from robustpeft.types import Noise

__all__ = ["PatchDrop"]


@final
@dataclass(frozen=True)
class PatchDrop(Perturbation):
    """Fills exactly round(ratio * number of patches) patches of a regular grid, chosen at random.

    Args:
        ratio: Share of the patches to drop, in [0, 1]; patches dropped at one ratio are dropped at every larger one.
        patch_size: Side of a patch in pixels; must divide the image's height and width. A ViT's own patch size makes
            whole tokens vanish.
        fill: What a dropped patch shows, in pixel units before normalisation: a grey level in [0, 1], or (red, green,
            blue). 0 is black, as in the source; the mean of the model's normalisation becomes 0 inside the model. The
            image's own mean colour is not offered: it would tell the model something of what was dropped.
        per_batch: All images lose the same patches.

    Raises:
        UserError: If a field is out of range.

    Source:
        Naseer et al. 2021, "Intriguing Properties of Vision Transformers", arXiv 2105.10497, random PatchDrop: 14 x 14
        patches of 16 pixels, black, ratios 0 to 0.9. Differences: one mask per image unless `per_batch`, and keyed
        randomness in place of a global generator.
    """

    ratio: float
    patch_size: int = 16
    fill: Fill = 0.0

    def __post_init__(self) -> None:
        check_drop(self.ratio, self.fill)
        if self.patch_size < 1:
            raise UserError(f"patch_size must be at least 1 pixel; got {self.patch_size}")

    def apply(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the images with patches filled."""
        return drop_cells(images, noise, cell=self.patch_size, ratio=self.ratio, fill=self.fill)
