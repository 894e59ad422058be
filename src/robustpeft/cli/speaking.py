"""What is said aloud while a command runs? The library's notes and warnings; other libraries stay quiet."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from robustpeft.cli.spokesman import is_spokesman

__all__ = ["speaking"]


class _Speaker(logging.Handler):
    """Prints to whatever stderr is now: progress bars put their own in its place while they are shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line such as ``warning: ...``."""
        word = "warning" if record.levelno >= logging.WARNING else "note"
        print(f"{word}: {record.getMessage()}", file=sys.stderr)


@contextmanager
def speaking() -> Iterator[None]:
    """Within the context the logger ``robustpeft`` speaks on stderr from INFO on; in the first process only.

    Warnings of Python and of other libraries are for developers; ``python -W default -m robustpeft`` shows the former.
    """
    ours, root = logging.getLogger("robustpeft"), logging.getLogger()
    speaker, silence, level = _Speaker(), logging.NullHandler(), ours.level
    if is_spokesman():
        ours.addHandler(speaker)
    root.addHandler(silence)
    ours.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            yield
    finally:
        ours.setLevel(level)
        root.removeHandler(silence)
        ours.removeHandler(speaker)
