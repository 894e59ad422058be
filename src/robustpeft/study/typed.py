"""By which command was this begun? Nothing, where no command of robustpeft's was."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["typed_command", "typed_words"]


def typed_words() -> tuple[str, ...]:
    """Return what stood behind ``robustpeft`` or ``python -m robustpeft``; empty if neither began this process."""
    program = Path(sys.argv[0] if sys.argv else "")
    is_module = program.name == "__main__.py" and program.parent.name in ("robustpeft", "cli")
    return tuple(sys.argv[1:]) if program.stem == "robustpeft" or is_module else ()


def typed_command(more: Sequence[str] = ()) -> str:
    """Return the command as one would type it again, with more words behind it; empty if there was none."""
    words = typed_words()
    return shlex.join(["robustpeft", *words, *more]) if words else ""
