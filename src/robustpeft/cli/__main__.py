"""Where does the command line begin?"""

from __future__ import annotations

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
    app(args=None if arguments is None else list(arguments), prog_name="robustpeft")


if __name__ == "__main__":
    main()
