"""Where does the command line begin?"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from robustpeft.cli.app import app

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit status: 0 done, 2 the input cannot be used, 130 interrupted.

    Args:
        arguments: As typed after ``robustpeft``; those of the process if None.

    Raises:
        SystemExit: Always, with the status.
    """
    if "" not in sys.path:
        sys.path.append("")  # mine.py in the working directory is mine:Class; last, so that it shadows nothing
    app(args=None if arguments is None else list(arguments), prog_name="robustpeft")


if __name__ == "__main__":
    main()
