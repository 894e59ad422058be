"""How much does a command say? Results always; notes, warnings and progress as ``--quiet`` and ``--verbose`` ask."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Annotated, Any

import typer

from robustpeft.errors import UserError

__all__ = ["OPTIONS", "Loudness", "loudness", "loudness_of", "speaks_at", "with_options"]


class Loudness(Enum):
    """What is said on stderr, besides errors."""

    QUIET = "warnings"
    NORMAL = "warnings, notes and progress"
    VERBOSE = "these, and whatever other libraries log and warn of"


_PRESENT: ContextVar[Loudness] = ContextVar("loudness", default=Loudness.NORMAL)

OPTIONS: dict[str, Any] = {
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes: results and warnings.")],
    "verbose": Annotated[bool, typer.Option("--verbose", "-v", help="Also what other libraries log and warn of.")],
}
"""Two options that every command takes behind its name, where one types them."""


def loudness() -> Loudness:
    """Return how much the present command says."""
    return _PRESENT.get()


def loudness_of(*, quiet: bool, verbose: bool) -> Loudness:
    """Return what two options mean.

    Raises:
        UserError: If both are given.
    """
    if quiet and verbose:
        raise UserError("--quiet and --verbose contradict each other; give one of them")
    return Loudness.QUIET if quiet else Loudness.VERBOSE if verbose else Loudness.NORMAL


@contextmanager
def speaks_at(level: Loudness) -> Iterator[None]:
    """Within the context `loudness` is this."""
    token = _PRESENT.set(level)
    try:
        yield
    finally:
        _PRESENT.reset(token)


def with_options(told: Callable[..., None], command: Callable[..., None]) -> Callable[..., None]:
    """Give `told` the signature of `command` and both `OPTIONS`, from which typer reads what can be typed."""
    hints = typing.get_type_hints(command, include_extras=True) | OPTIONS
    signature = inspect.signature(command)
    own = [parameter.replace(annotation=hints[name]) for name, parameter in signature.parameters.items()]
    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False) for name in OPTIONS]
    more = [parameter.replace(annotation=OPTIONS[parameter.name]) for parameter in more]
    told.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
    told.__annotations__ = hints
    return told
