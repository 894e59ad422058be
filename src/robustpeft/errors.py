"""How does the library tell a person that something they gave cannot be used?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["UserError", "nearest_hint", "one_line", "printable"]


class UserError(ValueError):
    """A readable message for the person who typed the input; the command line prints it and exits with status 2."""


def nearest_hint(given: str, valid: Iterable[str]) -> str:
    """Return a sentence naming the nearest valid word and all valid ones.

    Args:
        given: What was typed.
        valid: Everything that would have been accepted.

    Returns:
        For example ``did you mean 'lora'? Valid: full, lora``.
    """
    choices = sorted(valid)
    close = difflib.get_close_matches(given.lower(), [c.lower() for c in choices], n=1, cutoff=0.5)
    listing = ", ".join(choices) if choices else "nothing"
    if not close:
        return f"Valid: {listing}"
    match = next(c for c in choices if c.lower() == close[0])
    return f"did you mean {match!r}? Valid: {listing}"


def one_line(text: str, most: int = 200) -> str:
    """Return the text on one line, each character that is not printable replaced by ``?``, and not too long.

    A folder may be called ``cat``, a line break and a key of YAML; within a comment it must stay a comment.
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def printable(text: str) -> str:
    """Return the text with line breaks and tabs as they are, and every other control character replaced by ``?``.

    A label may hold codes that move a terminal's cursor, set its title or hide what stands before.
    """
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)
