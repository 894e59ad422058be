"""What is there to choose from? Every table of the library, and the shipped recipes, as rows of text."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["TOPICS", "Entry", "entries_of"]

TOPICS = ("recipes", "methods", "attacks", "perturbations", "objectives", "datasets", "backbones")
_PURPOSE = "# Purpose: "


@dataclass(frozen=True)
class Entry:
    """One thing to choose.

    Args:
        name: What to type.
        summary: What it is, in a sentence.
        fields: Its fields with their defaults, for example ``r=8``.
    """

    name: str
    summary: str
    fields: tuple[str, ...] = ()


def entries_of(topic: str) -> list[Entry]:
    """Return what there is of one of `TOPICS`, in the order of its table.

    Raises:
        KeyError: If it is none of them.
    """
    import robustpeft as rp
    from robustpeft.study import shipped_recipes

    if topic == "recipes":
        return [Entry(name, _purpose(path)) for name, path in shipped_recipes().items()]
    tables: dict[str, Mapping[str, Any]] = {
        "methods": rp.METHODS,
        "attacks": rp.ATTACKS,
        "perturbations": rp.PERTURBATIONS,
        "objectives": rp.OBJECTIVES,
        "datasets": rp.DATASETS,
        "backbones": rp.BACKBONES,
    }
    return [Entry(name, _first_line(thing), _fields(thing)) for name, thing in tables[topic].items()]


def _purpose(recipe: Path) -> str:
    lines = recipe.read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix(_PURPOSE) for line in lines if line.startswith(_PURPOSE)), "")


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n", 1)[0].replace("``", "")


def _fields(thing: Any) -> tuple[str, ...]:
    """Return the fields, those that must be given first."""
    fields = dataclasses.fields(thing) if dataclasses.is_dataclass(thing) else ()
    texts = [_field(field) for field in fields]
    return tuple(sorted(texts, key=lambda text: "=" in text))


def _field(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"{field.name}={field.default!r}"
    if field.default_factory is not dataclasses.MISSING:
        return f"{field.name}={field.default_factory()!r}"
    return f"{field.name} (required)"
