"""What if the image is turned a little?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional as F

from robustpeft.errors import UserError
from robustpeft.perturbations.base import Perturbation
from robustpeft.types import Noise

__all__ = ["Rotation", "rotated"]


@final
@dataclass(frozen=True)
class Rotation(Perturbation):
    """Turns the image about its centre by an angle drawn uniformly from [-degrees, degrees); bilinear, black around it.

    Args:
        degrees: Largest angle, 0 to 180. More degrees turn the same image further the same way.
        per_batch: All images are turned alike.

    Raises:
        UserError: If degrees is out of range.

    Source:
        Engstrom et al. 2019, "Exploring the Landscape of Spatial Robustness", arXiv 1712.02779, Section 3, with up to
        30 degrees and zero padding. Differences: chance instead of a search for the worst angle, and no translation
        at the same time.
    """

    degrees: float
    strength_field: ClassVar[str] = "degrees"

    def __post_init__(self) -> None:
        if not 0 <= self.degrees <= 180:
            raise UserError(f"degrees must be the largest angle, from 0 to 180; got {self.degrees:g}")

    def apply(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the images, turned."""
        if self.degrees == 0:
            return images
        return rotated(images, (2 * noise.uniform(()).double() - 1) * self.degrees)


def rotated(images: Tensor, degrees: Tensor) -> Tensor:
    """Return images (b, 3, h, w) turned counter-clockwise about their centre by degrees (b,), black where none was."""
    height, width = images.shape[-2:]
    angle = torch.deg2rad(degrees.double())
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=-1).reshape(-1, 2, 2)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    sides = torch.tensor([width, height], dtype=torch.float64)
    centred = torch.stack([x, y], dim=-1).double() - (sides - 1) / 2  # in pixels: a turn of the unit square would shear
    places = torch.einsum("bij,hwj->bhwi", turn, centred.to(angle.device))
    exact = images if images.dtype == torch.float64 else images.float()
    grid = (2 * places / sides.to(angle.device)).to(exact)
    return F.grid_sample(exact, grid, padding_mode="zeros", align_corners=False).to(images.dtype)
