"""How is a training image varied? Shifted by a padded crop and mirrored; this is the only place that does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from robustpeft.errors import UserError
from robustpeft.types import Noise

__all__ = ["Augment"]


@dataclass(frozen=True)
class Augment:
    """Random shift and horizontal flip, drawn per image from (seed, id), so that no batch order changes them.

    Args:
        crop_padding: The largest shift, as a share of each side, in [0, 0.5]; 1/8 is the usual 4 pixels of 32.
        flip: Mirror half of the images; wrong where left and right differ in meaning, as for digits.
        padding: What is shifted in: ``reflect`` (the image mirrored at its edge: photographs get no black bars, which
            no test image has) or ``zero`` (black, for objects on a black ground).

    Raises:
        UserError: If a field is out of range.
    """

    crop_padding: float = 0.125
    flip: bool = True
    padding: Literal["reflect", "zero"] = "reflect"

    def __post_init__(self) -> None:
        if not 0 <= self.crop_padding <= 0.5:
            raise UserError(f"crop_padding is a share of the side in [0, 0.5]; got {self.crop_padding}")
        if self.padding not in ("reflect", "zero"):
            raise UserError(f"padding must be 'reflect' or 'zero'; got {self.padding!r}")

    def __call__(self, images: Tensor, *, seed: int, ids: Tensor) -> Tensor:
        """Return the varied images, float (b, 3, h, w) in [0, 1], on the same device.

        Args:
            images: Float (b, 3, h, w) in [0, 1].
            seed: Of this epoch; the same seed gives the same variation of an image.
            ids: Int64 (b,), one per image.
        """
        noise = Noise(seed, ids.to(images.device), "augment")
        shifted = self._crop(images, noise)
        if not self.flip:
            return shifted
        mirrored = noise.uniform((1, 1, 1), purpose=1) < 0.5
        return torch.where(mirrored, shifted.flip(3), shifted)

    def _crop(self, images: Tensor, noise: Noise) -> Tensor:
        height, width = images.shape[2:]
        # Reflection needs a pixel beyond the edge to reflect, so it cannot reach the full side.
        down, across = (min(round(self.crop_padding * side), side - 1) for side in (height, width))
        if down == across == 0 or not len(images):
            return images
        mode = "reflect" if self.padding == "reflect" else "constant"
        padded = functional.pad(images, (across, across, down, down), mode=mode)
        draws = noise.uniform((2,), purpose=0)
        top, left = (draws[:, i] * (2 * reach + 1) for i, reach in enumerate((down, across)))
        rows = top.long()[:, None] + torch.arange(height, device=images.device)
        columns = left.long()[:, None] + torch.arange(width, device=images.device)
        batch = torch.arange(len(images), device=images.device)[:, None, None, None]
        channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
        return padded[batch, channel, rows[:, None, :, None], columns[:, None, None, :]]
