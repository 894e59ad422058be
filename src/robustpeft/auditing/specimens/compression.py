"""What if images pass through JPEG? In the model it hides the gradient; on the disk it takes the perturbation away.

Source: Guo et al. 2018, arXiv:1711.00117, Section 4 (JPEG as a defence, quality 75); broken by Athalye et al. 2018,
arXiv:1802.00420, Section 5.3.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from robustpeft.auditing.specimens.around import Around

__all__ = ["jpeg_inside", "saved_as_jpeg", "saved_by_truncation"]

_QUALITY = 75


def jpeg_inside(model: nn.Module) -> nn.Module:
    """Return the model behind JPEG of quality 75."""
    return Around(model, before=saved_as_jpeg)


def saved_as_jpeg(images: Tensor) -> Tensor:
    """Return the images (b, 3, h, w) after JPEG of quality 75, which keeps neither the ball nor what is in it."""
    pixels = (images.detach().clamp(0, 1) * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    read = np.stack([_round_trip(image) for image in pixels])
    return torch.from_numpy(read).permute(0, 3, 1, 2).to(images) / 255.0


def saved_by_truncation(images: Tensor) -> Tensor:
    """Return the images cut down, not rounded, to 8 bits: on average half a level darker, up to a whole one."""
    return (images.detach() * 255.0).to(torch.uint8).to(images) / 255.0


def _round_trip(pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=_QUALITY)
    with Image.open(buffer) as picture:
        return np.asarray(picture)
