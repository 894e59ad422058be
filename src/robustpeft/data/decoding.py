"""How does an image file become eight-bit RGB? Upright, opaque, and refused with a reason where that is impossible.

EXIF rotation is applied. Grey is repeated over the three channels, 16-bit grey is divided by 257, palettes and CMYK are
converted by Pillow, the first frame of an animation is taken. Transparent pixels are composited on white: the hidden
colour under them is arbitrary, and white is the background on which cut-out pictures are made and shown.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ["FORMATS", "MAX_BYTES", "MAX_PIXELS", "BrokenImageError", "open_image", "opened", "to_rgb"]

MAX_PIXELS = 89_478_485
"""Pillow's own limit; it holds here also where another program in this process has lifted Pillow's."""

MAX_BYTES = 256 * 2**20
"""Encoded; a photograph of `MAX_PIXELS` without any loss has about this many."""

FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000")
"""Whatever the name of the file says, no other decoder of Pillow's is tried: EPS, for one, would start Ghostscript."""

_REASONS = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


class BrokenImageError(Exception):
    """One image cannot be used; the message says why, the caller knows which image it is."""


def open_image(source: Path | bytes | memoryview) -> Image.Image:
    """Return the image in a file or in encoded bytes as upright, opaque RGB of its own size.

    Raises:
        BrokenImageError: If it cannot be read, or is larger than `MAX_BYTES`, `MAX_PIXELS` or Pillow's own limit.
    """
    with opened(source) as image:
        return to_rgb(image)


@contextmanager
def opened(source: Path | bytes | memoryview) -> Iterator[Image.Image]:
    """Within the context the image is open, and its pixels are decoded when they are asked for.

    Raises:
        BrokenImageError: As `open_image`; what goes wrong within the context is told so too.
    """
    try:
        size = source.stat().st_size if isinstance(source, Path) else len(source)
        if size > MAX_BYTES:
            raise BrokenImageError(f"{size} bytes, more than the {MAX_BYTES} that are read")
        stream = source if isinstance(source, Path) else io.BytesIO(source)
        with Image.open(stream, formats=_formats()) as image:
            limit, pixels = min(Image.MAX_IMAGE_PIXELS or MAX_PIXELS, MAX_PIXELS), image.width * image.height
            if pixels > limit:
                raise BrokenImageError(f"{pixels} pixels, more than the {limit} that are safe to decode")
            yield image
    except _BOMBS as error:
        raise BrokenImageError(f"too many pixels ({error})") from error
    except UnidentifiedImageError as error:
        raise BrokenImageError("not an image of a known format") from error
    except _REASONS as error:
        raise BrokenImageError(f"{type(error).__name__}: {error}") from error


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return those of `FORMATS` with which this Pillow was built."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return any Pillow image as upright, opaque, eight-bit RGB.

    Raises:
        BrokenImageError: If its values have no agreed range (floating point, or beyond 16 bits).
    """
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "F":
        raise BrokenImageError("floating-point pixels have no agreed range: store it with 8 or 16 bits")
    if upright.mode.startswith("I"):
        return _from_16_bit(upright)
    if upright.has_transparency_data:
        opaque = upright.convert("RGBA")
        white = Image.new("RGBA", opaque.size, "white")
        return Image.alpha_composite(white, opaque).convert("RGB")
    return upright.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise BrokenImageError(f"grey values from {values.min()} to {values.max()} do not fit 16 bits")
    return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB")
