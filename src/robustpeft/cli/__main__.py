"""Where does the command line begin?"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from robustpeft.cli.app import app
from robustpeft.cli.exit_status import ExitStatus

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit status, one of `ExitStatus`.

    Args:
        arguments: As typed after ``robustpeft``; those of the process if None.

    Raises:
        SystemExit: Always, with the status.
    """
    if "" not in sys.path:
        sys.path.append("")  # mine.py in the working directory is mine:Class; last, so that it shadows nothing
    try:
        app(args=None if arguments is None else list(arguments), prog_name="robustpeft")
    except Exception:
        traceback.print_exc()
        print("this is a bug of robustpeft; please report it with the lines above", file=sys.stderr)
        sys.exit(ExitStatus.BUG)  # not Python's 1, which says that a gate is not met


if __name__ == "__main__":
    main()
