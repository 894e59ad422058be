"""What are images and labels, and are these some?"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robustpeft.errors import UserError

__all__ = ["check_images", "check_labels"]

_SLACK = 1e-6  # (x + delta) - x rounds; values this far outside the box are rounding, not another scale


def check_images(images: Tensor) -> None:
    """Raise unless `images` is a float batch (b, 3, h, w) with every value in [0, 1].

    Raises:
        UserError: With the shape or the range found and what it usually means.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise UserError(f"images must have shape (batch, 3, height, width); got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise UserError(f"images must be floating point in [0, 1]; got {images.dtype} (divide 8-bit images by 255)")
    if images.numel() == 0:
        return
    low, high = (float(v) for v in torch.aminmax(images.detach()))
    if low >= -_SLACK and high <= 1 + _SLACK:  # also false for NaN
        return
    if math.isnan(low) or math.isnan(high):
        hint = "some values are not numbers"
    elif high > 8:
        hint = "they look like 8-bit values: divide by 255"
    elif low < 0:
        hint = "they look normalised: give them unnormalised; normalisation is inside the model"
    else:
        hint = "clamp them, or divide by their scale"
    raise UserError(f"images must lie in [0, 1]; found [{low:.4g}, {high:.4g}] ({hint})")


def check_labels(labels: Tensor, num_classes: int | None = None, batch: int | None = None) -> None:
    """Raise unless `labels` is an integer vector with every value in [0, num_classes).

    Args:
        labels: Int (b,).
        num_classes: Exclusive upper bound; not checked if None.
        batch: The number of labels expected; not checked if None.

    Raises:
        UserError: With what was found.
    """
    if labels.ndim != 1 or labels.is_floating_point() or labels.dtype == torch.bool:
        raise UserError(f"labels must be integers of shape (batch,); got {labels.dtype} {tuple(labels.shape)}")
    if batch is not None and labels.shape[0] != batch:
        raise UserError(f"{batch} images came with {labels.shape[0]} labels")
    if labels.numel() == 0:
        return
    low, high = (int(v) for v in torch.aminmax(labels))
    if low < 0 or (num_classes is not None and high >= num_classes):
        wanted = "at least 0" if num_classes is None else f"in [0, {num_classes})"
        raise UserError(f"labels must be {wanted}; found {low} to {high}")
