"""How does a value of hyper-parameters become plain JSON or YAML, and a value again?

There is one schema: the frozen dataclasses themselves. A value whose class stands in a table is written with its name
in that table; ``package.module:Class`` is read wherever a name is.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from robustpeft.errors import UserError, nearest_hint
from robustpeft.types.tables import look_up, name_of

if TYPE_CHECKING:
    import pydantic

__all__ = ["LATER", "Axis", "from_plain", "to_plain"]

LATER: Mapping[str, Any] = types.MappingProxyType({"robustpeft.later": True})
"""Metadata of a field that a class did not always have: it is written only where it is not its default, so that the
digests of what was written before stay what they were."""

T = TypeVar("T")
_NUMBER = r"((?:\d+\.?\d*|\.\d+)(?:e-?\d+)?)"
_FRACTION = re.compile(rf"\s*{_NUMBER}\s*/\s*{_NUMBER}\s*", re.ASCII)


@dataclass(frozen=True)
class Axis:
    """One axis of the library: a base class, the table of what there is, and the key that names the choice.

    Args:
        base: Every entry's class derives from it.
        table: Name to class.
        word: What an entry is called in messages: ``method``, ``attack``, ...
        tag: The key under which plain data name the entry.
    """

    base: type
    table: Mapping[str, type]
    word: str
    tag: str = "name"


def to_plain(value: Any, axes: Sequence[Axis]) -> Any:
    """Return `value` as dictionaries, lists, numbers and strings; dataclasses on an axis carry their name.

    Fields that a class sets by itself (``init=False``) are left out: they follow from the others.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: (f, getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        plain = {name: to_plain(held, axes) for name, (f, held) in fields.items() if not _left_out(f, held)}
        for axis in axes:
            if isinstance(value, axis.base):
                return {axis.tag: name_of(axis.table, value)} | plain
        return plain
    if isinstance(value, Mapping):
        return {str(k): to_plain(v, axes) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v, axes) for v in value]
    return value


def _left_out(field: dataclasses.Field[Any], held: Any) -> bool:
    return LATER.keys() <= field.metadata.keys() and to_plain(held, ()) == to_plain(field.default, ())


def from_plain(cls: type[T], plain: Any, axes: Sequence[Axis], where: str = "") -> T:
    """Return the value of class `cls` that plain data describe.

    Args:
        cls: A dataclass, or the base class of an axis.
        plain: A mapping of its fields; a string alone names an entry of an axis with its defaults.
        axes: Where names are looked up.
        where: Dotted path of this value, for messages.

    Raises:
        UserError: For an unknown key (with the nearest valid one), a wrong type, or a value its class refuses.
    """
    axis = next((a for a in axes if a.base is cls), None)
    if isinstance(plain, cls):
        return plain
    if axis is not None:
        return cast(T, _entry(axis, plain, axes, where))
    if not isinstance(plain, Mapping):
        raise UserError(f"{where or cls.__name__} must be a mapping of fields; got {plain!r}")
    return cast(T, _dataclass(cls, plain, axes, where))


def _entry(axis: Axis, plain: Any, axes: Sequence[Axis], where: str) -> Any:
    if isinstance(plain, str):
        plain = {axis.tag: plain}
    if not isinstance(plain, Mapping) or not isinstance(plain.get(axis.tag), str):
        raise UserError(
            f"{where or axis.base.__name__} must be a {axis.word}: a mapping with {axis.tag!r}, "
            f"one of {', '.join(axis.table)}; got {plain!r}"
        )
    plain = _with_type(axis, plain)
    found = look_up(axis.table, plain[axis.tag], axis.word)
    if not (issubclass(found, axis.base) and dataclasses.is_dataclass(found)):
        raise UserError(
            f"{_prefix(where)}{plain[axis.tag]!r} is not a {axis.word} (a dataclass derived from {axis.base.__name__})"
        )
    return _dataclass(found, {k: v for k, v in plain.items() if k != axis.tag}, axes, where)


def _with_type(axis: Axis, plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``{name: peft:dora, r: 8}`` as ``{name: peft, type: dora, options: {r: 8}}``, where an entry has these."""
    name, _, kind = plain[axis.tag].partition(":")
    entry = axis.table.get(name)
    fields = {f.name for f in dataclasses.fields(entry)} if dataclasses.is_dataclass(entry) else set()
    if not kind or not fields >= {"type", "options"}:
        return plain
    return {axis.tag: name, "type": kind, "options": {k: v for k, v in plain.items() if k != axis.tag}}


def _dataclass(cls: type, plain: Mapping[str, Any], axes: Sequence[Axis], where: str) -> Any:
    fields = {f.name for f in dataclasses.fields(cls) if f.init}
    for key in plain:
        if key not in fields:
            raise UserError(f"unknown key {_join(where, str(key))!r}; {nearest_hint(str(key), fields)}")
    hints = _hints(cls)
    given = {k: _convert(hints[k], v, axes, _join(where, k)) for k, v in plain.items()}
    try:
        return cls(**given)
    except TypeError as error:
        raise UserError(f"{where or cls.__name__}: {str(error).partition('() ')[2] or error}") from error
    except ValueError as error:
        raise UserError(f"{_prefix(where)}{error}") from error


def _convert(hint: Any, value: Any, axes: Sequence[Axis], where: str) -> Any:
    """Return `value` as the annotated type: axes and dataclasses by `from_plain`, everything else by pydantic."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        inner = [a for a in arguments if a is not type(None)]
        if len(inner) == 1:
            return _convert(inner[0], value, axes, where)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis and _is_ours(arguments[0], axes):
        if not isinstance(value, list | tuple):
            raise UserError(f"{where} must be a list; got {value!r}")
        return tuple(_convert(arguments[0], v, axes, f"{where}.{i}") for i, v in enumerate(value))
    if _is_ours(hint, axes):
        return from_plain(hint, value, axes, where)
    return _validate(hint, _as_number(value) if _has_float(hint) else value, where)


def _validate(hint: Any, value: Any, where: str) -> Any:
    import pydantic

    if isinstance(value, bool) and hint in (int, float):  # pydantic would read `steps: yes` as 1
        raise UserError(f"{where} must be a number; got {value!r}")
    try:
        return _adapter(hint).validate_python(value)
    except pydantic.ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        raise UserError(f"{where} must be {said}; got {value!r}") from error


# A study makes hundreds of recipes of the same few classes: what pydantic builds for an annotation is built once.
@lru_cache(maxsize=1024)
def _adapter(hint: Any) -> pydantic.TypeAdapter[Any]:
    import pydantic

    return pydantic.TypeAdapter(hint)


@lru_cache(maxsize=1024)
def _hints(cls: type) -> Mapping[str, Any]:
    return typing.get_type_hints(cls)


def _is_ours(hint: Any, axes: Sequence[Axis]) -> bool:
    return isinstance(hint, type) and (dataclasses.is_dataclass(hint) or any(a.base is hint for a in axes))


def _has_float(hint: Any) -> bool:
    return hint is float or any(_has_float(a) for a in typing.get_args(hint))


def _as_number(value: Any) -> Any:
    """Return 8 / 255 for the text ``8/255``, also inside lists: it is how the field writes a radius."""
    if isinstance(value, list | tuple):
        return [_as_number(v) for v in value]
    if isinstance(value, str) and (match := _FRACTION.fullmatch(value)) and float(match[2]):
        return float(match[1]) / float(match[2])
    return value


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _prefix(where: str) -> str:
    return f"{where}: " if where else ""
