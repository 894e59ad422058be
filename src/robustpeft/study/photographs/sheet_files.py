"""How does a contact sheet lie on disk? As one PNG to print or send, and as one page to look closely at."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features
from torch import Tensor

from robustpeft.errors import one_line
from robustpeft.records import write_text
from robustpeft.report.contact_page import ContactCell, ContactRow, render_contact_page
from robustpeft.study.photographs.contact_sheet import RADII, ContactSheet

__all__ = ["write_sheet"]

_MARGIN, _HEAD, _ROW_HEAD = 12, 44, 24
_INK, _PAPER, _SOFT = (26, 28, 30), (253, 253, 252), (91, 97, 103)


def write_sheet(sheet: ContactSheet, folder_name: str, stem: Path) -> tuple[Path, Path]:
    """Write ``STEM.png`` and ``STEM.html``, each whole or not at all, and return their paths.

    Both are lossless: a pixel that is 1/255 off on the page is 1/255 off in the file.
    """
    png, page = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.html")
    _write_bytes(png, _encoded(_picture(sheet, folder_name), "PNG"))
    write_text(page, render_contact_page(folder_name, sheet.method, RADII, _rows(sheet)))
    return png, page


def _rows(sheet: ContactSheet) -> tuple[ContactRow, ...]:
    kind = "WEBP" if features.check("webp") else "PNG"
    return tuple(
        ContactRow(
            name=row.name,
            class_name=row.class_name,
            cells=tuple(
                ContactCell(_data_uri(pixels, kind), None if row.fooled is None else row.fooled[i])
                for i, pixels in enumerate(row.versions)
            ),
        )
        for row in sheet.rows
    )


def _data_uri(pixels: Tensor, kind: str) -> str:
    encoded = base64.b64encode(_encoded(_image(pixels), kind)).decode("ascii")
    return f"data:image/{kind.lower()};base64,{encoded}"


def _image(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def _encoded(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    fast = {"lossless": True, "exact": True, "method": 0, "quality": 0}  # quality is effort where nothing is lost
    image.save(stream, kind, **(fast if kind == "WEBP" else {"compress_level": 1}))
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
