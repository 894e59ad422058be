"""What is said aloud while a command runs? The library's notes and warnings; other libraries stay quiet."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from robustpeft.cli.loudness import Loudness, speaks_at
from robustpeft.cli.spokesman import is_spokesman
from robustpeft.errors import printable

__all__ = ["speaking"]


class _Speaker(logging.Handler):
    """Prints to whatever stderr is now: progress bars put their own in its place while they are shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line such as ``warning: ...``."""
        word = "warning" if record.levelno >= logging.WARNING else "note"
        origin = "" if record.name.partition(".")[0] in ("robustpeft", "py") else f"{record.name}: "
        print(printable(f"{word}: {origin}{record.getMessage()}"), file=sys.stderr)


_LEVELS = {Loudness.QUIET: logging.WARNING, Loudness.NORMAL: logging.INFO, Loudness.VERBOSE: logging.DEBUG}


@contextmanager
def speaking(level: Loudness = Loudness.NORMAL) -> Iterator[None]:
    """Within the context the logger ``robustpeft`` speaks on stderr from INFO on; in the first process only.

    Warnings of Python and of other libraries are for developers; ``--verbose`` shows them.

    Args:
        level: Quiet leaves warnings only; verbose adds what other libraries log from INFO on, and Python's warnings.
    """
    ours, root = logging.getLogger("robustpeft"), logging.getLogger()
    speaker, before = _Speaker(), (ours.level, root.level)
    loud = level is Loudness.VERBOSE
    others: logging.Handler = speaker if loud and is_spokesman() else logging.NullHandler()
    if is_spokesman() and not loud:
        ours.addHandler(speaker)
    root.addHandler(others)
    ours.setLevel(_LEVELS[level])
    if loud:
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)
    try:
        with warnings.catch_warnings(), speaks_at(level):
            if not sys.warnoptions:
                warnings.simplefilter("default" if loud else "ignore")
            yield
    finally:
        if loud:
            logging.captureWarnings(False)
        for logger, previous in zip((ours, root), before, strict=True):
            logger.setLevel(previous)
        root.removeHandler(others)
        ours.removeHandler(speaker)
