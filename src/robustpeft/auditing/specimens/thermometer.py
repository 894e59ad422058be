"""What if each pixel is written as a thermometer? Comparisons have no gradient at all.

    code_j = 1 if x > j / 16 else 0,   j = 0 .. 15

Source: Buckman et al. 2018, "Thermometer encoding: one hot way to resist adversarial examples" (ICLR), Section 3;
broken by Athalye et al. 2018, arXiv:1802.00420, Section 5.1. Differs: the network behind it was trained on pixels, so
the code is read as the height of the column.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustpeft.auditing.specimens.around import Around

__all__ = ["encode", "thermometer"]

_LEVELS = 16


def thermometer(model: nn.Module) -> nn.Module:
    """Return the model behind a thermometer code with 16 levels."""
    return Around(model, before=lambda images: encode(images).mean(dim=2))


def encode(images: Tensor) -> Tensor:
    """Return the code (b, 3, 16, h, w), zeros and ones, of images (b, 3, h, w)."""
    marks = torch.arange(_LEVELS, device=images.device).to(images.dtype) / _LEVELS
    return (images.unsqueeze(2) > marks[:, None, None]).to(images.dtype)
