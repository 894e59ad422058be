"""How is YAML read that anybody may have written? As plain data, of a size that a recipe or study can have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from robustpeft.errors import UserError

__all__ = ["read_yaml", "yaml_value"]

_MOST_CHARACTERS = 2**20
_MOST_VALUES = 100_000  # what anchors stand for counted as often as they are used: ten lines can mean a billion values


def read_yaml(path: Path) -> Any:
    """Return what a file holds.

    Raises:
        UserError: If it is not YAML of plain data, or larger than an experiment's description can be.
    """
    try:
        if path.stat().st_size > _MOST_CHARACTERS:
            raise UserError(f"{path} is larger than {_MOST_CHARACTERS} bytes: that is no recipe and no study")
        return yaml_value(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def yaml_value(text: str) -> Any:
    """Return what a text holds; tags that would make anything but plain data are refused.

    Raises:
        yaml.YAMLError: If it is not valid YAML.
        UserError: If it is nested without end, or stands for too many values.
    """
    try:
        value = yaml.safe_load(text)
        count = _count(value, {}, frozenset())
    except RecursionError as error:
        raise UserError("it is nested too deeply") from error
    if count > _MOST_VALUES:
        raise UserError(f"it stands for more than {_MOST_VALUES:,} values")
    return value


def _count(value: Any, known: dict[int, int], above: frozenset[int]) -> int:
    """Return how many values something stands for, each repeated as often as it is used."""
    if not isinstance(value, dict | list | set):
        return 1
    if id(value) in above:
        raise UserError("it holds itself")
    if id(value) not in known:
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
        known[id(value)] = 1 + sum(_count(part, known, above | {id(value)}) for part in parts)
    return known[id(value)]
