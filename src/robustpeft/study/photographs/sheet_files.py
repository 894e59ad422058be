"""How does a contact sheet lie on disk? As one PNG to print or send, and as one page to look closely at.

What was changed by an attacker hardly compresses, and a page that is sent around is to stay below 2 MB: it shows the
middle of the photographs, the picture all of them.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features
from torch import Tensor

from robustpeft.errors import one_line
from robustpeft.records import write_text
from robustpeft.report.contact_page import ContactCell, ContactRow, render_contact_page
from robustpeft.study.photographs.contact_sheet import RADII, ContactSheet

__all__ = ["write_sheet"]

_CROP = 144  # pixels a side: six photographs at six radii are then about 1.5 MB, and fit side by side on a laptop
_MOST_BYTES = 1_950_000  # of the page's pictures; texture everywhere takes more than a sky
_MARGIN, _HEAD, _ROW_HEAD = 12, 44, 24
_INK, _PAPER, _SOFT = (26, 28, 30), (253, 253, 252), (91, 97, 103)


def write_sheet(sheet: ContactSheet, folder_name: str, stem: Path) -> tuple[Path, Path]:
    """Write ``STEM.png`` and ``STEM.html``, each whole or not at all, and return their paths.

    Both are lossless: a pixel that is 1/255 off on the page is 1/255 off in the file. The page has as many photographs
    as stay below 2 MB, and says which part of them it shows.
    """
    png, page = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.html")
    _write_bytes(png, _encoded(_picture(sheet, folder_name), "PNG"))
    rows = tuple(_few_enough(sheet))
    method = f"{sheet.method} {_said(sheet, len(rows), png)}"
    write_text(page, render_contact_page(folder_name, method, RADII, rows, _side(sheet.rows[0].versions)))
    return png, page


def _said(sheet: ContactSheet, shown: int, png: Path) -> str:
    """Return which part of the photographs the page shows."""
    height, width = sheet.rows[0].versions.shape[2:]
    part = _side(sheet.rows[0].versions)
    photographs = "all photographs" if shown == len(sheet.rows) else f"{shown} of {len(sheet.rows)} photographs"
    return (
        f"Shown are the middle {part} x {part} of the {width} x {height} pixels that the network sees, of "
        f"{photographs} that were chosen, without loss; {png.name} has all of them whole."
    )


def _few_enough(sheet: ContactSheet) -> Iterator[ContactRow]:
    """Yield the first row, and more as long as the page stays small."""
    kind = "WEBP" if features.check("webp") else "PNG"
    size = 0
    for row in sheet.rows:
        uris = [_data_uri(_middle(pixels), kind) for pixels in row.versions]
        if size and size + sum(map(len, uris)) > _MOST_BYTES:
            return
        size += sum(map(len, uris))
        fooled = row.fooled or [None] * len(uris)
        yield ContactRow(
            name=row.name.removeprefix(f"{row.class_name}/"),
            class_name=row.class_name,
            cells=tuple(ContactCell(uri, said) for uri, said in zip(uris, fooled, strict=True)),
        )


def _side(pixels: Tensor) -> int:
    """Return how much of images (..., h, w) is shown, in pixels a side."""
    height, width = pixels.shape[-2:]
    return min(_CROP, height, width)


def _middle(pixels: Tensor) -> Tensor:
    """Return the middle of an image (3, h, w)."""
    height, width = pixels.shape[1:]
    side = _side(pixels)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[:, top : top + side, left : left + side]


def _data_uri(pixels: Tensor, kind: str) -> str:
    encoded = base64.b64encode(_encoded(_image(pixels), kind)).decode("ascii")
    return f"data:image/{kind.lower()};base64,{encoded}"


def _image(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def _encoded(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    small = {"lossless": True, "exact": True, "method": 4, "quality": 50}  # quality is effort where nothing is lost
    image.save(stream, kind, **(small if kind == "WEBP" else {"compress_level": 6}))
    return stream.getvalue()


def _picture(sheet: ContactSheet, folder_name: str) -> Image.Image:
    """Return all photographs in one picture, a column a radius, every pixel as it is."""
    height, width = sheet.rows[0].versions.shape[2:]
    across = _MARGIN + len(RADII) * (width + _MARGIN)
    down = 2 * _HEAD + len(sheet.rows) * (height + _ROW_HEAD + _MARGIN)
    picture = Image.new("RGB", (across, down), _PAPER)
    pen, large, small = ImageDraw.Draw(picture), ImageFont.load_default(18), ImageFont.load_default(14)
    pen.text((_MARGIN, 12), f"{one_line(folder_name, 60)}: how large may a change be?", _INK, large)
    for column, radius in enumerate(RADII):
        pen.text((_MARGIN + column * (width + _MARGIN), _HEAD + 12), _head(radius), _INK, large)
    for number, row in enumerate(sheet.rows):
        top = 2 * _HEAD + number * (height + _ROW_HEAD + _MARGIN)
        for column, pixels in enumerate(row.versions):
            picture.paste(_image(pixels), (_MARGIN + column * (width + _MARGIN), top))
        pen.text((_MARGIN, top + height + 3), one_line(f"{row.class_name}: {row.name}", 120), _SOFT, small)
    return picture


def _head(radius: int) -> str:
    return "untouched" if radius == 0 else f"epsilon {radius}/255"


def _write_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
