"""How does the library tell a person that something they gave cannot be used?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["UserError", "nearest_hint"]


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
