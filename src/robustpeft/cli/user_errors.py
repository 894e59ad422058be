"""How does a command fail? With one readable message and the status of `ExitStatus`; only a bug shows a traceback."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click
import typer

from robustpeft.cli.exit_status import ExitStatus
from robustpeft.cli.loudness import loudness_of, with_options
from robustpeft.cli.speaking import speaking
from robustpeft.errors import UserError, printable

__all__ = ["CANNOT_BE_USED", "INTERRUPTED", "leave", "readable"]

CANNOT_BE_USED = ExitStatus.UNUSABLE
INTERRUPTED = ExitStatus.INTERRUPTED

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def readable(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with what the person can mend told in one message; everything else stays an exception.

    It takes ``--quiet`` and ``--verbose`` too.
    """

    @functools.wraps(command)
    def told(*args: Any, quiet: bool = False, verbose: bool = False, **kwargs: Any) -> None:
        try:
            with speaking(loudness_of(quiet=quiet, verbose=verbose)):
                command(*args, **kwargs)
            sys.stdout.flush()  # here, where it can still be told that nobody reads
        except UserError as error:
            leave(f"error: {error}", CANNOT_BE_USED)
        except BrokenPipeError:
            _leave_unread()
        except OSError as error:
            if error.filename is None and error.errno not in _NO_ROOM:
                raise
            where = "" if error.filename is None else f"{error.filename}: "
            leave(f"error: {where}{error.strerror}", CANNOT_BE_USED)
        except (KeyboardInterrupt, click.exceptions.Abort):  # the latter from a question
            leave("interrupted", INTERRUPTED)
        except SystemExit as left:
            if isinstance(left.__context__, BrokenPipeError):  # rich leaves with status 1, which means something here
                _leave_unread()
            raise

    return with_options(told, command)


def leave(message: str, status: int) -> NoReturn:
    """Say why on stderr and end the command with this exit status."""
    print(printable(message), file=sys.stderr)
    raise typer.Exit(status)


def _leave_unread() -> NoReturn:
    """End without a word: whoever read is gone, and Python would complain of the rest when it closes stdout."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    finally:
        os.close(nowhere)
    raise typer.Exit(ExitStatus.NOBODY_READS)
