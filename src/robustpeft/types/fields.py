"""Does every field of a value hold what it says it does? Its annotation says the kind, its class the range.

Without this a `steps` of 2.5 or of text is found out by a `range` deep inside a search, and a NaN by nobody.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import types
import typing
from dataclasses import dataclass
from typing import Any, Final

from robustpeft.errors import UserError

__all__ = ["COUNT", "Interval", "check_fields"]


@dataclass(frozen=True)
class Interval:
    """Numbers between two ends.

    Args:
        low: Lower end.
        high: Upper end; infinity for none.
        ends: ``[]``, ``[)``, ``(]`` or ``()``: which of them belong to it.
        note: What the message says besides, appended as it is: units, or what the ends mean.
    """

    low: float
    high: float = math.inf
    ends: str = "[]"
    note: str = ""

    def __contains__(self, number: float) -> bool:
        """Return whether the number lies in it; NaN never does."""
        above = number >= self.low if self.ends[0] == "[" else number > self.low
        below = number <= self.high if self.ends[1] == "]" else number < self.high
        return above and below

    def __str__(self) -> str:
        """Return for example ``at least 1``, ``above 0, in pixel units`` or ``in (0, 1]``."""
        if self.high == math.inf:
            return f"{'at least' if self.ends[0] == '[' else 'above'} {self.low:g}{self.note}"
        return f"in {self.ends[0]}{self.low:g}, {self.high:g}{self.ends[1]}{self.note}"


COUNT: Final = Interval(1)
"""Of things without which nothing would happen."""


def check_fields(value: object, **ranges: Interval) -> None:
    """Raise unless every field of a dataclass holds what its annotation says, and lies in its range.

    Whole numbers, numbers (never NaN, and finite where there is a range), truth values, texts and choices (`Literal`)
    are looked at, each also where None is allowed; fields of any other kind, and those that the class itself sets
    (``init=False``), are left to the class. What numpy or PyTorch hold as a single number or word becomes Python's, so
    that equal values are written down alike.

    Args:
        value: A dataclass, frozen or not; called from its ``__post_init__``.
        **ranges: For some of its fields, where a number has a meaning.

    Raises:
        UserError: Naming the first field that does not fit, what it must be and what was given.
    """
    cls: type = type(value)
    for name, (kind, choices) in _kinds(cls).items():
        given = getattr(value, name)
        if given is None and type(None) in choices:
            continue
        plain = given.item() if getattr(given, "shape", None) == () else given  # of numpy, or a tensor
        held = _held(name, kind, choices, plain, finite=name in ranges)
        if held is not given:
            object.__setattr__(value, name, held)
        if name in ranges and held not in ranges[name]:
            raise UserError(f"{name} must be {ranges[name]}; got {held:g}")


def _held(name: str, kind: type | None, choices: tuple[Any, ...], given: Any, *, finite: bool) -> Any:
    """Return what was given as a Python value of this kind."""
    if kind is None:  # a choice
        offered = [choice for choice in choices if choice is not type(None)]
        if not any(type(given) is type(choice) and given == choice for choice in offered):
            listing = ", ".join(map(repr, offered[:-1])) + f" or {offered[-1]!r}"
            raise UserError(f"{name} must be {listing.removeprefix(' or ')}; got {given!r}")
        return given
    wanted, word = _KINDS[kind]
    if not isinstance(given, wanted) or (isinstance(given, bool) and kind is not bool):
        raise UserError(f"{name} must be {word}; got {given!r}")
    if kind is not float:
        return given if type(given) is kind or kind is str else kind(given)
    held = given if type(given) in (int, float) else float(given)
    try:
        fits = math.isfinite(held) if finite else not math.isnan(held)
    except OverflowError:  # a whole number that no float can hold
        fits = False
    if not fits:
        raise UserError(f"{name} must be a {'finite ' if finite else ''}number; got {given!r}")
    return held


_KINDS: Final[dict[type, tuple[Any, str]]] = {
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    bool: (bool, "True or False"),
    str: (str, "text"),
}


@functools.cache
def _kinds(cls: type) -> dict[str, tuple[type | None, tuple[Any, ...]]]:
    """Return the fields that can be checked: kind (None for a choice), and choices, ``NoneType`` if None is allowed."""
    try:
        hints = typing.get_type_hints(cls)
    except Exception:  # of a class of one's own: reading an annotation runs it, and it may be no expression at all
        return {}
    found: dict[str, tuple[type | None, tuple[Any, ...]]] = {}
    for field in (field for field in dataclasses.fields(cls) if field.init):
        hint: Any = hints[field.name]
        allowed: tuple[Any, ...] = ()
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            others = [part for part in typing.get_args(hint) if part is not type(None)]
            if len(others) != 1:
                continue
            hint, allowed = others[0], (type(None),)
        if typing.get_origin(hint) is typing.Literal:
            found[field.name] = (None, (*typing.get_args(hint), *allowed))
        elif hint in _KINDS:
            found[field.name] = (hint, allowed)
    return found
