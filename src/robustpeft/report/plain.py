"""How is a name that anybody may have chosen shown where it could act? Without line breaks and control characters.

A folder may be called ``cat``, a line break and a key of YAML; a label may hold codes that move a terminal's cursor,
set its title or hide what stands before. HTML is escaped by the templates, Markdown by `report.markdown`.
"""

from __future__ import annotations

__all__ = ["one_line", "printable"]


def one_line(text: str, most: int = 200) -> str:
    """Return the text on one line, each character that is not printable replaced by ``?``, and not too long."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def printable(text: str) -> str:
    """Return the text with line breaks and tabs as they are, and every other control character replaced by ``?``."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)
