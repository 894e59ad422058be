"""How does a name become the class it stands for?"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from robustpeft.errors import UserError, nearest_hint

__all__ = ["imports_allowed", "look_up", "name_of"]

_IMPORTS: ContextVar[bool] = ContextVar("imports", default=True)


@contextmanager
def imports_allowed(trust: bool) -> Iterator[None]:
    """Within the context `look_up` imports modules only if `trust`; what was imported before is found either way.

    For names in files that somebody else may have written: importing a module runs it.
    """
    token = _IMPORTS.set(trust)
    try:
        yield
    finally:
        _IMPORTS.reset(token)


def look_up(table: Mapping[str, type], name: str, axis: str) -> type:
    """Return the class that `name` stands for on one axis of the library.

    Args:
        table: The literal table of that axis, for example ``METHODS``.
        name: A key of the table, or ``package.module:Class`` for a class of one's own.
        axis: What the table holds, for the message: ``method``, ``attack``, ...

    Raises:
        UserError: If the name is neither; the message names the nearest valid one. Within `imports_allowed(False)` also
            if a module would have to be imported.
    """
    if name in table:
        return table[name]
    if ":" not in name:
        raise UserError(f"unknown {axis} {name!r}; {nearest_hint(name, table)}, or 'package.module:Class' for your own")
    module_name, _, class_name = name.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise UserError(f"{axis} {name!r}: {module_name!r} is no module name; expected 'package.module:Class'")
    if module_name not in sys.modules and not _IMPORTS.get():
        raise UserError(
            f"{axis} {name!r} is not part of robustpeft; nothing was imported. If you trust it, import {module_name} "
            "before, or say so: rp.load(path, trust=True), or --trust"
        )
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
