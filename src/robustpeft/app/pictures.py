"""How does a picture come in, and how does it go out? Limited in bytes and pixels; and as a PNG within the page."""

from __future__ import annotations

import base64
import hashlib
import io
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from robustpeft.data.decoding import BrokenImageError, open_image
from robustpeft.data.resizing import fit
from robustpeft.errors import UserError

__all__ = ["MOST_BYTES", "MOST_PIXELS", "Pictures", "data_uri", "read_picture"]

MOST_BYTES = 20_000_000
MOST_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What is read of strangers' files; others, such as EPS, would start another program."""


def read_picture(data: bytes) -> Image.Image:
    """Return an uploaded picture as upright, opaque RGB of its own size.

    Raises:
        BrokenImageError: If it is empty, too large in bytes or pixels, of another format, or broken.
    """
    if not data:
        raise BrokenImageError("the file is empty")
    if len(data) > MOST_BYTES:
        raise BrokenImageError(f"{len(data):,} bytes; at most {MOST_BYTES:,} are read")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as header:  # reads the header alone
            pixels = header.width * header.height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenImageError(f"too many pixels; at most {MOST_PIXELS:,} are read") from error
    except Exception as error:  # a stranger's bytes may raise anything
        raise BrokenImageError(f"not a picture that can be read here ({', '.join(FORMATS)})") from error
    if pixels > MOST_PIXELS:
        raise BrokenImageError(f"{pixels:,} pixels; at most {MOST_PIXELS:,} are read")
    return open_image(data)


@final
@dataclass(eq=False)
class Pictures:
    """The last few pictures that were uploaded, in memory alone.

    Args:
        most: How many are kept.
    """

    most: int = 8
    _kept: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _fitted: dict[tuple[str, tuple[int, int]], Tensor] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def add(self, data: bytes) -> str:
        """Keep a picture and return its name, a hash of its bytes.

        Raises:
            BrokenImageError: As `read_picture`.
        """
        read_picture(data)
        name = hashlib.sha256(data).hexdigest()[:32]
        with self._lock:
            self._kept[name] = data
            self._kept.move_to_end(name)
            while len(self._kept) > self.most:
                gone, _ = self._kept.popitem(last=False)
                self._fitted = {key: tensor for key, tensor in self._fitted.items() if key[0] != gone}
        return name

    def fitted(self, name: str, size: tuple[int, int]) -> Tensor:
        """Return a picture as float (3, h, w) in [0, 1], fitted to (height, width) as in tuning.

        Raises:
            UserError: If it is not kept (any more).
        """
        with self._lock:
            data = self._kept.get(name)
            found = self._fitted.get((name, size))
        if data is None:
            raise UserError("the picture is not kept any more; choose it again")
        if found is None:
            pixels = np.array(fit(read_picture(data), size))
            found = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255.0
            with self._lock:
                self._fitted[name, size] = found
        return found


def data_uri(image: Tensor) -> str:
    """Return a PNG of an image (3, h, w), clipped to [0, 1] and rounded to eight bits, to stand within a page."""
    pixels = (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
