"""What if the model makes its images smaller and larger again, outside of any graph?

Fine structure is gone before the network sees it, and no gradient tells where to put coarse structure.

Source: Guo et al. 2018, arXiv:1711.00117, Section 4 (cropping and rescaling); Xie et al. 2018, arXiv:1711.01991.
`resized_with_gradient` is the honest one: a part of the model, attacked with it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustpeft.auditing.specimens.around import Around

__all__ = ["resized_with_gradient", "resized_without_gradient", "there_and_back"]


def resized_without_gradient(model: nn.Module) -> nn.Module:
    """Return the model behind a resizing to three quarters of the size and back, as libraries for images do it."""
    return Around(model, before=lambda images: there_and_back(images.detach()))


def resized_with_gradient(model: nn.Module) -> nn.Module:
    """Return the same with its gradient."""
    return Around(model, before=there_and_back)


def there_and_back(images: Tensor) -> Tensor:
    """Return the images at three quarters of the size and enlarged again, bilinearly."""
    height, width = images.shape[2:]
    small = functional.interpolate(images, (3 * height // 4, 3 * width // 4), mode="bilinear", antialias=True)
    return torch.clamp(functional.interpolate(small, (height, width), mode="bilinear"), 0, 1)
