"""What may an adversary do who owns a part of the picture? Anything, within one square window, and nothing outside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from robustpeft.types.fields import Interval, check_fields
from robustpeft.types.randomness import Noise
from robustpeft.types.threat import Threat

__all__ = ["Patch"]


@final
@dataclass(frozen=True)
class Patch(Threat):
    """Every pixel of one square window may move by at most epsilon, the others not at all.

    The window has the same place in every image: an adversarial patch of a known place. Who may choose the place is
    measured as the worst case over several. Differs from Brown et al. 2017, arXiv:1712.09665, whose patch is one for
    all images and is turned, scaled and moved at random: here every image has a patch of its own, a stronger adversary.

    Args:
        epsilon: Radius in pixel units on [0, 1]; at 1, pixels of the window take any value.
        share: Of the image's area that the window covers, in (0, 1]; its side is rounded to whole pixels, at least 1
            and at most the shorter side of the image.
        row: Where its centre lies, from 0 at the upper edge to 1 at the lower one; a window that would stick out is
            moved inside.
        column: Likewise, from left to right.

    Raises:
        UserError: If a field is not that.
    """

    epsilon: float = 1.0
    norm: ClassVar[str] = "patch"
    max_epsilon: ClassVar[float] = 1.0
    share: float = 0.1
    row: float = 0.5
    column: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(
            self,
            share=Interval(0, 1, "(]", ", of the image's area"),
            row=Interval(0, 1, note=", a share of the height"),
            column=Interval(0, 1, note=", a share of the width"),
        )

    def window(self, height: int, width: int) -> tuple[int, int, int]:
        """Return first row, first column and side of the window, in pixels, in images of this size."""
        side = min(max(round(math.sqrt(self.share * height * width)), 1), height, width)
        top, left = (
            min(max(round(centre * length - side / 2), 0), length - side)
            for centre, length in ((self.row, height), (self.column, width))
        )
        return top, left, side

    def region(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return the window: first row, first column, rows and columns."""
        top, left, side = self.window(height, width)
        return top, left, side, side

    def project(self, delta: Tensor) -> Tensor:
        """Return the perturbation clipped to [-epsilon, epsilon] in the window, 0 outside."""
        return self._cut_out(delta.clamp(-self.epsilon, self.epsilon))

    def ascend(self, gradient: Tensor) -> Tensor:
        """Return the sign of the gradient in the window, 0 outside."""
        return self._cut_out(gradient.sign())

    def random(self, noise: Noise, shape: tuple[int, ...]) -> Tensor:
        """Return independent uniform values on [-epsilon, epsilon) in the window, 0 outside."""
        return self._cut_out((noise.uniform(shape) * 2.0 - 1.0) * self.epsilon)

    def within(self, images: Tensor, candidates: Tensor) -> Tensor:
        """Return the nearest points of window, ball and box."""
        return (images + self.project(candidates - images)).clamp(0.0, 1.0)

    def size(self, delta: Tensor) -> Tensor:
        """Return the largest absolute value of each image's perturbation; infinity if anything outside has moved."""
        moved = delta.abs()
        outside = (moved - self._cut_out(moved)).flatten(1).amax(dim=1)
        return torch.where(outside > 0, torch.inf, moved.flatten(1).amax(dim=1))

    def _cut_out(self, values: Tensor) -> Tensor:
        """Return the values in the window, 0 outside."""
        top, left, side = self.window(*values.shape[-2:])
        kept = torch.zeros_like(values)
        within = (..., slice(top, top + side), slice(left, left + side))
        kept[within] = values[within]
        return kept
