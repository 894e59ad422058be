"""What must a person say before a recipe can be written? A handful of questions, each with an option and a default."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from robustpeft.errors import UserError, nearest_hint
from robustpeft.types import Linf

__all__ = [
    "HARDWARE",
    "Ask",
    "Given",
    "Mistake",
    "Question",
    "epsilon_of",
    "existing",
    "hardware_of",
    "minutes_of",
    "mistakes_of",
]

HARDWARE = ("auto", "cpu", "mps", "cuda")


@dataclass(frozen=True)
class Given:
    """What was said on the command line; None and empty where nothing was.

    Args:
        hardware: One of `HARDWARE`: where tuning will run.
        mistakes: Class names, or pairs ``CLASS:TAKEN-FOR``.
        checkpoint: A weights file, or the directory of a run.
        backbone: Name of the network; found out from the checkpoint, or chosen, if None.
        time: For tuning: ``45``, ``30m``, ``1h30m``.
        epsilon: For example ``4/255``.
    """

    hardware: str | None = None
    mistakes: tuple[str, ...] = ()
    checkpoint: str | None = None
    backbone: str | None = None
    time: str | None = None
    epsilon: str | None = None


@dataclass(frozen=True)
class Question:
    """Something to ask.

    Args:
        text: The question.
        option: With which it is answered beforehand.
        default: What is assumed of who says nothing.
        read: Turns what was typed into a value, or raises `UserError`.
    """

    text: str
    option: str
    default: str
    read: Callable[[str], Any]


Ask = Callable[[Question], Any]
"""Asks a person, or answers with the default where there is none."""


@dataclass(frozen=True)
class Mistake:
    """A mistake that hurts.

    Args:
        true: The class that is not recognised.
        taken_for: What it is taken for; None for anything.
    """

    true: str
    taken_for: str | None = None

    def __str__(self) -> str:
        return self.true if self.taken_for is None else f"{self.true} taken for {self.taken_for}"


def hardware_of(text: str) -> str:
    """Return one of `HARDWARE`.

    Raises:
        UserError: If it is none.
    """
    word = text.strip().lower()
    if word not in HARDWARE:
        raise UserError(f"unknown hardware {text!r}; {nearest_hint(text, HARDWARE)}")
    return word


def minutes_of(text: str) -> float:
    """Return minutes: ``90``, ``90m``, ``1.5h``, ``1h30m``, ``2d``.

    Raises:
        UserError: If it is no such time, or not above 0.
    """
    number = r"(\d+(?:\.\d+)?)"
    word = text.strip().lower().removesuffix("in")  # 90min
    parts = re.fullmatch(rf"(?:{number}d)?(?:{number}h)?(?:{number}m?)?", word, re.ASCII)
    if not word or parts is None or any(len(digits) > 9 for digits in re.findall(r"\d+", word)):
        raise UserError(f"a time is for example 45 (minutes), 30m, 1h30m or 2d; got {text!r}")
    days, hours, minutes = parts.groups()
    total = float(days or 0) * 1440 + float(hours or 0) * 60 + float(minutes or 0)
    if total <= 0:
        raise UserError(f"tuning takes more than no time; got {text!r}")
    return total


def epsilon_of(text: str) -> float:
    """Return a radius above 0 in pixel units: ``4/255``, ``0.016``.

    Raises:
        UserError: If it is none.
    """
    try:
        value = float(Fraction(text.replace(" ", "")))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise UserError(f"epsilon is a number such as 4/255; got {text!r}") from error
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"epsilon must be above 0; got {text!r}")
    return Linf(value).epsilon


def mistakes_of(texts: Sequence[str], classes: Sequence[str]) -> tuple[Mistake, ...]:
    """Return the mistakes that were named; a text that is a class name as a whole is that class.

    Raises:
        UserError: If a class is unknown, or is to be taken for itself.
    """
    found = []
    for text in (text.strip() for text in texts):
        if not text:
            continue
        true, taken_for = (text, None) if text in classes else _pair(text, classes)
        if true == taken_for:
            raise UserError(f"{true!r} taken for itself is no mistake")
        found.append(Mistake(true, taken_for))
    return tuple(dict.fromkeys(found))


def _pair(text: str, classes: Sequence[str]) -> tuple[str, str | None]:
    for at in (i for i, letter in enumerate(text) if letter == ":"):  # a class name may hold a colon too
        true, taken_for = text[:at].strip(), text[at + 1 :].strip()
        if true in classes and taken_for in classes:
            return true, taken_for
    true, _, taken_for = text.partition(":")
    unknown = next(name for name in (true.strip(), taken_for.strip(), text) if name not in classes)
    raise UserError(f"no class {unknown!r} among the folders; {nearest_hint(unknown, classes)}")


def existing(text: str) -> str | None:
    """Return a path that exists, None for nothing typed.

    Raises:
        UserError: If there is nothing.
    """
    if not text.strip():
        return None
    path = Path(text.strip()).expanduser()
    if not path.exists():
        raise UserError(f"there is nothing at {path}")
    return str(path.resolve())
