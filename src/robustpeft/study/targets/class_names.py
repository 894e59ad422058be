"""What do a network's outputs mean? Names from a person, from the model's files, or those of ImageNet."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from robustpeft.errors import UserError

__all__ = ["IMAGENET", "columns_by_name", "imagenet_names", "read_class_names", "spoken"]

IMAGENET = "imagenet"
_MANY = 5


def read_class_names(given: str) -> tuple[str, ...]:
    """Return the names of outputs that a person typed: ``imagenet``, a file with one name a line, or a comma list.

    Raises:
        UserError: If there is no such file, a name is empty, or one occurs twice.
    """
    if given == IMAGENET:
        return imagenet_names()
    path = Path(given).expanduser()
    if path.is_file():
        try:
            names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is no text file with one class name a line ({error})") from error
        where = str(path)
    elif "," in given:
        names, where = tuple(name.strip() for name in given.split(",")), "--classes"
    else:
        raise UserError(f"no file of class names at {given}; expected one, a comma list, or {IMAGENET!r}")
    if "" in names or not names:
        raise UserError(f"{where} has an empty class name")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(f"{where} names {twice[0]!r} twice; every output needs a name of its own")
    return names


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """Return the names of ImageNet-1k's classes in the usual order, each as synset and words: ``n01440764, tench``."""
    from timm.data.imagenet_info import ImageNetInfo

    info: Any = ImageNetInfo("imagenet-1k")
    return tuple(f"{synset}, {info.index_to_description(i)}" for i, synset in enumerate(info.label_names()))


def columns_by_name(outputs: Sequence[str], classes: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return which output each class is, and the classes that are none or more than one.

    Names agree in full, or in one of the words that a comma parts (``tench, Tinca tinca``); case, underscores and
    hyphens do not count.

    Args:
        outputs: A name for each output.
        classes: The names of the data's classes.
    """
    whole = _numbered(enumerate(map(spoken, outputs)))
    parts = _numbered((i, spoken(part)) for i, name in enumerate(outputs) for part in name.split(","))
    columns: list[int] = []
    strangers: list[str] = []
    for name in classes:
        found = whole.get(spoken(name)) or parts.get(spoken(name)) or set()
        if len(found) != 1:
            strangers.append(name)
        else:
            columns += found
    return columns, strangers


def spoken(name: str) -> str:
    """Return the name without case, underscores, hyphens and doubled blanks."""
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def some(names: Sequence[str]) -> str:
    """Return the first few names, for messages."""
    return ", ".join(names[:_MANY]) + (", ..." if len(names) > _MANY else "")


def _numbered(pairs: Iterable[tuple[int, str]]) -> Mapping[str, set[int]]:
    found: dict[str, set[int]] = {}
    for number, name in pairs:
        found.setdefault(name, set()).add(number)
    return found
