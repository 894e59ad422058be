"""What size do images have, and how do they get it? Shorter side first, then the centre."""

from __future__ import annotations

from PIL import Image, ImageOps

from robustpeft.errors import UserError

__all__ = ["ImageSize", "as_size", "describe", "fit"]

ImageSize = int | tuple[int, int] | None
"""Side of a square, (height, width), or None for the size the images have."""


def as_size(image_size: ImageSize) -> tuple[int, int] | None:
    """Return (height, width) in pixels, or None if none was asked for.

    Raises:
        UserError: If it is not one or two whole numbers of at least 1.
    """
    if image_size is None:
        return None
    pair: tuple[object, ...] = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    sides = [side for side in pair if isinstance(side, int) and side >= 1]
    if len(pair) != 2 or len(sides) != 2:
        raise UserError(f"image_size must be a side or (height, width) in pixels, at least 1; got {image_size!r}")
    return sides[0], sides[1]


def fit(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the image scaled until it just covers (height, width), cropped at its centre.

    Bicubic with antialiasing (Pillow widens the filter when it shrinks); an image of that size already is not touched.
    """
    height, width = size
    if image.size == (width, height):
        return image
    return ImageOps.fit(image, (width, height), method=Image.Resampling.BICUBIC, centering=(0.5, 0.5))


def describe(image_size: tuple[int, int] | None) -> str:
    """Return in words what `fit` did, for the record."""
    if image_size is None:
        return "as stored"
    height, width = image_size
    return f"scaled until {height}x{width} is covered (bicubic, antialiased), centre crop"
