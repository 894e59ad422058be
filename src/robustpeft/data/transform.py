"""What happens to one picture before a model sees it? Exactly what happened to the images it was tuned on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from robustpeft.data.decoding import to_rgb
from robustpeft.data.resizing import ImageSize, as_size, fit

__all__ = ["image_transform"]


def image_transform(image_size: ImageSize) -> Callable[[Image.Image], Tensor]:
    """Return the function that maps a Pillow image to a float tensor (3, h, w) in [0, 1].

    Args:
        image_size: Side, or (height, width), to fit images to; None for the size they have.
    """
    size = as_size(image_size)

    def transform(image: Image.Image) -> Tensor:
        picture = to_rgb(image) if size is None else fit(to_rgb(image), size)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255.0

    return transform
