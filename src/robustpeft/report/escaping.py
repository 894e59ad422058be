"""How does text from data sets and models stand in Markdown without being read as markup?"""

from __future__ import annotations

import re

__all__ = ["escaped"]


def escaped(text: str) -> str:
    """Return the text in one line, with everything escaped that Markdown or HTML would read as markup."""
    one_line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|#~!])", r"\\\1", one_line)
