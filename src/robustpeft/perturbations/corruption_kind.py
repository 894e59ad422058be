"""What is one kind of corruption? A function of images, chance and five settings, published for two image sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robustpeft.types import Noise

__all__ = ["CorruptionKind", "each"]


@dataclass(frozen=True)
class CorruptionKind:
    """One row of the suite.

    Args:
        change: Called with images (b, 3, h, w) in [0, 1], noise and the setting of a severity; returns new images,
            which are clipped to [0, 1] afterwards.
        imagenet_c: The setting at severities 1 to 5 for images of 224 pixels.
        cifar_c: Likewise for images of 32 pixels.
    """

    change: Callable[[Tensor, Noise, Any], Tensor]
    imagenet_c: tuple[Any, Any, Any, Any, Any]
    cifar_c: tuple[Any, Any, Any, Any, Any]


def each(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return `function` of every image (c, h, w), stacked: a product of one shape, whatever the batch is."""
    return torch.stack([function(image.clone()) for image in images]) if len(images) else images
