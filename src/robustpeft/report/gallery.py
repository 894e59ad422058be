"""Which images are shown? One row per image and radius, one group per subject, as many as a small page bears."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.records import AuditRecord, DataInfo, GalleryItem
from robustpeft.report.wording import class_name, percent_text, threat_text

__all__ = ["Gallery", "GalleryRow", "Portrait", "gallery"]

# Base64 characters; leaves the rest of 2 MB to the tables and figures.
_ROOM = 1_500_000
_TINY = 112


@dataclass(frozen=True)
class Portrait:
    """What one subject made of one image.

    Args:
        label: The subject.
        before: Class predicted for the original.
        before_confidence: Its softmax probability, in percent with one decimal.
        after: Class predicted for the adversarial image.
        after_confidence: Likewise.
        was_right: Whether `before` is the true class.
        is_right: Whether `after` is the true class.
        adversarial_png: Base64.
        difference_png: Base64.
        magnification: Factor of the difference shown.
    """

    label: str
    before: str
    before_confidence: str
    after: str
    after_confidence: str
    was_right: bool
    is_right: bool
    adversarial_png: str
    difference_png: str
    magnification: str


@dataclass(frozen=True)
class GalleryRow:
    """One image.

    Args:
        title: Its true class.
        threat: Norm and radius of the attack.
        original_png: Base64.
        is_tiny: Whether its pixels are larger than the screen's, so that they should stay squares.
        portraits: One per subject in the order of the records; None where its record does not show the image.
    """

    title: str
    threat: str
    original_png: str
    is_tiny: bool
    portraits: tuple[Portrait | None, ...]


@dataclass(frozen=True)
class Gallery:
    """All rows that are shown, and how many were left out to keep the page small."""

    rows: tuple[GalleryRow, ...]
    left_out: int


def gallery(records: Sequence[AuditRecord], room: int = _ROOM) -> Gallery:
    """Return the gallery of all records; items with the same image, norm and radius share a row.

    Args:
        records: Comparable records.
        room: Base64 characters that the images may take together.
    """
    by_record = [{(item.id, item.norm, item.epsilon): item for item in record.gallery} for record in records]
    rows, left_out = [], 0
    for key in dict.fromkeys(key for items in by_record for key in items):
        found = [items.get(key) for items in by_record]
        size = sum(_size(item) for item in found if item is not None)
        if size > room:
            left_out += 1
            continue
        room -= size
        rows.append(_row(records, found))
    return Gallery(tuple(rows), left_out)


def _size(item: GalleryItem) -> int:
    return len(item.original_png) + len(item.adversarial_png) + len(item.difference_png)


def _width(png: str) -> int:
    """Return the width in pixels that the header of a PNG in base64 states (bytes 16 to 19); 0 if it is damaged."""
    try:
        return int.from_bytes(base64.b64decode(png[:32])[16:20], "big")
    except binascii.Error:
        return 0


def _row(records: Sequence[AuditRecord], found: Sequence[GalleryItem | None]) -> GalleryRow:
    first = next(item for item in found if item is not None)
    return GalleryRow(
        title=class_name(records[0].data, first.label),
        threat=threat_text(first.norm, first.epsilon),
        original_png=first.original_png,
        is_tiny=_width(first.original_png) <= _TINY,
        portraits=tuple(
            None if item is None else _portrait(record.subject.label, record.data, item)
            for record, item in zip(records, found, strict=True)
        ),
    )


def _portrait(label: str, data: DataInfo, item: GalleryItem) -> Portrait:
    return Portrait(
        label=label,
        before=class_name(data, item.prediction),
        before_confidence=percent_text(item.confidence),
        after=class_name(data, item.adversarial_prediction),
        after_confidence=percent_text(item.adversarial_confidence),
        was_right=item.prediction == item.label,
        is_right=item.adversarial_prediction == item.label,
        adversarial_png=item.adversarial_png,
        difference_png=item.difference_png,
        magnification=f"{item.magnification:.3g}",
    )
