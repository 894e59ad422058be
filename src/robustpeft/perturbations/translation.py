"""What if the image is moved a little?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from robustpeft.errors import UserError
from robustpeft.perturbations.base import Perturbation
from robustpeft.types import Noise

__all__ = ["Translation", "translated"]


@final
@dataclass(frozen=True)
class Translation(Perturbation):
    """Moves the image by whole pixels, each way drawn uniformly from [-ratio, ratio) of its side; black moves in.

    Args:
        ratio: Largest move as a share of height and of width, in [0, 1]. More of it moves the same image further the
            same way.
        per_batch: All images are moved alike.

    Raises:
        UserError: If the ratio is out of range.

    Source:
        Engstrom et al. 2019, "Exploring the Landscape of Spatial Robustness", arXiv 1712.02779, Section 3, with up to
        about a tenth of the side and zero padding. Differences: chance instead of a search for the worst move, and no
        rotation at the same time.
    """

    ratio: float
    strength_field: ClassVar[str] = "ratio"

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1:
            hint = f" (did you mean {self.ratio / 100:g}?)" if 1 < self.ratio <= 100 else ""
            raise UserError(f"ratio must be a share of the side in [0, 1]; got {self.ratio:g}{hint}")

    def apply(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the images, moved."""
        sides = torch.tensor(images.shape[-2:], device=images.device)
        moves = ((2 * noise.uniform((2,)).double() - 1) * self.ratio * sides).round().long()
        return translated(images, moves)


def translated(images: Tensor, moves: Tensor) -> Tensor:
    """Return images (b, 3, h, w) moved by int64 (b, 2) pixels, down and right; 0 where none was."""
    batch, _, height, width = images.shape
    rows = torch.arange(height, device=images.device) - moves[:, :1]
    columns = torch.arange(width, device=images.device) - moves[:, 1:]
    there = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    which = torch.arange(batch, device=images.device)[:, None, None]
    taken = (which, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :])
    return images.permute(0, 2, 3, 1)[taken].permute(0, 3, 1, 2) * there[:, None]
