"""How does a name become the class it stands for?"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from robustpeft.errors import UserError, nearest_hint

__all__ = ["look_up", "name_of"]


def look_up(table: Mapping[str, type], name: str, axis: str) -> type:
    """Return the class that `name` stands for on one axis of the library.

    Args:
        table: The literal table of that axis, for example ``METHODS``.
        name: A key of the table, or ``package.module:Class`` for a class of one's own.
        axis: What the table holds, for the message: ``method``, ``attack``, ...

    Raises:
        UserError: If the name is neither; the message names the nearest valid one.
    """
    if name in table:
        return table[name]
    if ":" not in name:
        raise UserError(f"unknown {axis} {name!r}; {nearest_hint(name, table)}, or 'package.module:Class' for your own")
    module_name, _, class_name = name.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise UserError(f"{axis} {name!r}: {module_name!r} is no module name; expected 'package.module:Class'")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"{axis} {name!r}: cannot import {module_name!r} ({error})") from error
    found: Any = module
    for part in class_name.split("."):  # a class within a class has a dotted name
        found = getattr(found, part, None)
    if not isinstance(found, type):
        classes = [n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module_name]
        raise UserError(
            f"{axis} {name!r}: {module_name} has no class {class_name!r}; {nearest_hint(class_name, classes)}"
        )
    return found


def name_of(table: Mapping[str, type], value: object) -> str:
    """Return the name under which `value`'s class is found again: its table key or ``package.module:Class``."""
    cls = type(value)
    for key, entry in table.items():
        if entry is cls:
            return key
    return f"{cls.__module__}:{cls.__qualname__}"
