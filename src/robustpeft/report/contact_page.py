"""Where does one choose an epsilon by eye? On one page of photographs at several radii, which loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.report.templating import page_templates

__all__ = ["ContactCell", "ContactRow", "render_contact_page"]


@dataclass(frozen=True)
class ContactCell:
    """One photograph at one radius.

    Args:
        uri: The picture, lossless, as a data URI of ours.
        fooled: Whether the network that was attacked says something else than before; None if none was.
    """

    uri: str
    fooled: bool | None = None


@dataclass(frozen=True)
class ContactRow:
    """One photograph.

    Args:
        name: Its file.
        class_name: What it shows.
        cells: One per radius; the first is the photograph as it is.
    """

    name: str
    class_name: str
    cells: tuple[ContactCell, ...]


@dataclass(frozen=True)
class _Column:
    title: str
    note: str


def render_contact_page(folder: str, method: str, radii: Sequence[int], rows: Sequence[ContactRow], side: int) -> str:
    """Return the page.

    Args:
        folder: Name of the folder.
        method: How the photographs were changed, in a sentence.
        radii: In 8-bit steps, ascending from 0.
        rows: One per photograph, a cell for each radius.
        side: Width and height of the pictures in pixels.
    """
    return (
        page_templates()
        .get_template("contact.html")
        .render(
            title=f"{folder}: how large may a change be?",
            method=method,
            columns=[_column(radius, [row.cells[i].fooled for row in rows]) for i, radius in enumerate(radii)],
            rows=rows,
            side=side,
        )
    )


def _column(radius: int, fooled: Sequence[bool | None]) -> _Column:
    if radius == 0:
        return _Column("untouched", "")
    share = f"{100 * radius / 255:.1f} % of black to white"
    if None in fooled:
        return _Column(f"{radius}/255", share)
    lost = f"the network is fooled on {sum(map(bool, fooled))} of {len(fooled)}"
    return _Column(f"{radius}/255", f"{share}; {lost}")
