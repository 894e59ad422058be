"""How large may a technique be for a number of trained parameters? Equal budgets make techniques comparable."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.base import PETMethod

__all__ = ["parameters_from_text", "size_field", "solve_budget"]

_SIZES = ("r", "bottleneck", "num_prompts", "k")
_LARGEST = 1 << 20
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmM]?)", re.ASCII)
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}


def parameters_from_text(text: str) -> int:
    """Return the number that ``300k``, ``1.5M``, ``300_000`` or ``300,000`` stands for.

    Raises:
        UserError: If it is no such number, or less than 1.
    """
    match = _NUMBER.fullmatch(text.strip().replace("_", "").replace(",", ""))
    number = round(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if number < 1:
        raise UserError(f"a budget is a number of parameters, such as 300k, 1.5M or 300_000; got {text!r}")
    return number


def size_field(method: PETMethod) -> str | None:
    """Return the field that says how large a technique is: ``r``, ``bottleneck``, ``num_prompts`` or ``k``; or None."""
    fields = {field.name for field in dataclasses.fields(method)}
    return next((name for name in _SIZES if name in fields), None)


def solve_budget(method: PETMethod, model: ImageClassifier, budget: int) -> PETMethod:
    """Return the technique in the largest size whose trained parameters, without the head, are at most `budget`.

        size = max {n : count(n) <= budget, and n fits the network}

    All other fields stay as they are.

    Args:
        method: Any size; it must have a `size_field`.
        model: Only shapes are read, so it may lie on torch's meta device.
        budget: Number of parameters.

    Raises:
        UserError: If it has no size, does not fit the network in any, or has more parameters in the smallest.

    Cost:
        No pass through the model; about forty counts.
    """
    field = size_field(method)
    if field is None:
        raise UserError(f"{method!r} has no size that could be solved for; it has {method.count(model):,} parameters")

    def of(size: int) -> PETMethod:
        changed: dict[str, Any] = {field: size}
        return dataclasses.replace(method, **changed)

    def affordable(size: int) -> bool:
        return of(size).count(model) <= budget

    def fits(size: int) -> bool:
        of(size).modules(model, 0)
        return True

    fits(1)
    if not affordable(1):
        least = f"{type(method).__name__} with {field} = 1 has {of(1).count(model):,} parameters"
        raise UserError(f"{least}, more than {budget:,}")
    size = _last(affordable, _LARGEST)
    return of(size if _holds(fits, size) else _last(fits, size))


def _last(holds: Callable[[int], bool], largest: int) -> int:
    """Return the last n of 1 .. largest for which `holds`; it holds for 1, and for none behind one that fails."""
    low, high = 1, 2
    while high <= largest and _holds(holds, high):
        low, high = high, 2 * high
    high = min(high, largest + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _holds(holds, middle) else (low, middle)
    return low


def _holds(condition: Callable[[int], bool], size: int) -> bool:
    """Return the condition; a size that the network refuses does not fulfil it."""
    try:
        return condition(size)
    except UserError:
        return False
