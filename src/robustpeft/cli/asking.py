"""How is a person asked? At a terminal, again until the answer can be used; elsewhere the default is taken and said."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from robustpeft.cli.loudness import Loudness, loudness
from robustpeft.errors import UserError

if TYPE_CHECKING:
    from robustpeft.study.photographs import Question

__all__ = ["asking"]


@contextmanager
def asking(*, silently: bool) -> Iterator[tuple[Callable[[Question], Any], Callable[[int, int], None]]]:
    """Within the context there is someone to ask, and someone to tell how many files were opened.

    Args:
        silently: Ask nothing even where somebody sits.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    someone = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty() and not silently
    with Progress(
        console=console, transient=True, disable=not console.is_terminal or loudness() is Loudness.QUIET
    ) as bar:
        task = bar.add_task("looking", total=None)

        def watch(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)
            if done >= of:
                bar.stop()  # a question needs the line

        yield (_ask if someone else _assume), watch


def _ask(question: Question) -> Any:
    while True:
        said = typer.prompt(question.text, default=question.default, show_default=bool(question.default))
        try:
            return question.read(said)
        except UserError as error:
            print(f"that cannot be used: {error}")


def _assume(question: Question) -> Any:
    if question.default:
        print(f"{question.option} {question.default} (not asked)")
    return question.read(question.default)
