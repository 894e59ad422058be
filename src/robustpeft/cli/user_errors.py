"""How does a command fail? With one readable message and exit status 2; only a bug shows a traceback."""

from __future__ import annotations

import errno
import functools
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec

import typer

from robustpeft.cli.speaking import speaking
from robustpeft.errors import UserError

__all__ = ["CANNOT_BE_USED", "INTERRUPTED", "leave", "readable"]

CANNOT_BE_USED = 2
INTERRUPTED = 130  # what shells say of a command that Ctrl-C ended: 128 + SIGINT

P = ParamSpec("P")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def readable(command: Callable[P, None]) -> Callable[P, None]:
    """Return the command with what the person can mend told in one message; everything else stays an exception."""

    @functools.wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        with speaking():
            try:
                command(*args, **kwargs)
            except UserError as error:
                leave(f"error: {error}", CANNOT_BE_USED)
            except OSError as error:
                if error.filename is None and error.errno not in _NO_ROOM:
                    raise
                where = "" if error.filename is None else f"{error.filename}: "
                leave(f"error: {where}{error.strerror}", CANNOT_BE_USED)
            except KeyboardInterrupt:
                leave("interrupted", INTERRUPTED)

    return told


def leave(message: str, status: int) -> NoReturn:
    """Say why on stderr and end the command with this exit status."""
    print(message, file=sys.stderr)
    raise typer.Exit(status)
