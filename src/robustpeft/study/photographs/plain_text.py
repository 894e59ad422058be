"""How is the name of a class or file written into a comment or a picture? On one line, with nothing that acts."""

from __future__ import annotations

__all__ = ["one_line"]


def one_line(text: str, most: int = 200) -> str:
    """Return the text without line breaks and control characters, each replaced by ``?``, and not too long.

    A folder may be called ``cat`` followed by a line break and a key of YAML; within a comment it must stay a comment.
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."
