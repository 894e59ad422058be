"""What may stand here? Names for the shell's Tab key, read from the sources: importing torch takes seconds."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import robustpeft

__all__ = ["attacks", "devices", "methods", "names_in", "profiles", "recipes", "settings", "studies", "topics"]

_PACKAGE = Path(robustpeft.__file__).parent
_AXES = {
    "method": ("pet/__init__.py", "METHODS"),
    "objective": ("objectives/__init__.py", "OBJECTIVES"),
    "objective.attack": ("attacks/__init__.py", "ATTACKS"),
    "data": ("data/loading.py", "DATASETS"),
}
_NUMBERS = ("training.epochs", "training.batch_size", "training.learning_rate", "threat.epsilon", "data.path", "seed")


@functools.cache
def names_in(file: str, table: str) -> tuple[str, ...]:
    """Return the keys of a literal table in one of the package's files.

    Args:
        file: Relative to the package.
        table: Name of the dict.
    """
    tree = ast.parse((_PACKAGE / file).read_text(encoding="utf-8"))
    for node in tree.body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        named = any(isinstance(target, ast.Name) and target.id == table for target in targets)
        if named and isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            keys = (key.value for key in node.value.keys if isinstance(key, ast.Constant))
            return tuple(key for key in keys if isinstance(key, str))
    return ()


def methods(incomplete: str) -> list[str]:
    """Return the techniques that begin so."""
    return _beginning(names_in(*_AXES["method"]), incomplete)


def attacks(incomplete: str) -> list[str]:
    """Return the attacks that begin so."""
    return _beginning(names_in(*_AXES["objective.attack"]), incomplete)


def profiles(incomplete: str) -> list[str]:
    """Return the profiles of an audit that begin so."""
    return _beginning(names_in("study/profiles.py", "PROFILES"), incomplete)


def recipes(incomplete: str) -> list[str]:
    """Return the shipped recipes that begin so; the shell adds files."""
    return _shipped("recipes", incomplete)


def studies(incomplete: str) -> list[str]:
    """Return the actions and shipped studies that begin so."""
    return [*_beginning(("run", "retry", "status", "report", "clean"), incomplete), *_shipped("studies", incomplete)]


def topics(incomplete: str) -> list[str]:
    """Return what `list` can show that begins so."""
    from robustpeft.cli.catalogue import TOPICS

    return _beginning(TOPICS, incomplete)


def devices(incomplete: str) -> list[str]:
    """Return the names of devices that begin so."""
    return _beginning(("auto", "cpu", "cuda", "mps"), incomplete)


def settings(args: list[str], incomplete: str) -> list[str]:
    """Return the overrides of a recipe that begin so: ``method=lora``, ``training.epochs=``.

    Bash ends a word at the equals sign, so what stands behind one comes alone, after ``method`` and ``=``.
    """
    key, equals, value = incomplete.partition("=")
    if equals and key in _AXES:
        return [f"{key}={name}" for name in _beginning(names_in(*_AXES[key]), value)]
    if len(args) > 1 and args[-1] == "=" and args[-2] in _AXES:
        return _beginning(names_in(*_AXES[args[-2]]), incomplete)
    if args and incomplete == "=" and args[-1] in _AXES:
        return list(names_in(*_AXES[args[-1]]))
    return _beginning(tuple(f"{key}=" for key in (*_AXES, *_NUMBERS)), incomplete)


def _shipped(folder: str, incomplete: str) -> list[str]:
    return _beginning(tuple(sorted(path.stem for path in (_PACKAGE / "study" / folder).glob("*.yaml"))), incomplete)


def _beginning(names: tuple[str, ...], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
