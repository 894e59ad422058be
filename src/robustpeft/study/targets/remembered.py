"""What did a record's audit know of somebody else's model? The same must be known to ask that model again."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from robustpeft.errors import UserError
from robustpeft.records import AuditRecord
from robustpeft.study.targets.base import Target
from robustpeft.study.targets.facts import Facts, option_of

__all__ = ["facts_of_record"]

_READ = {
    "architecture": str,
    "image_size": int,
    "normalization": str,
    "classes": str,
    "class_order": str,
    "crop": float,
}


def facts_of_record(record: AuditRecord, target: Target, known: Facts) -> Facts:
    """Return what is known, and what was said on the command line of the audit or found by trying, as far as it counts.

    Args:
        record: Of which model, in its `introduction`.
        target: What is asked now; fields that it does not read are left out.
        known: What is said now; it comes first.

    Raises:
        UserError: If the record says what no model can be.
    """
    said = record.introduction
    words = [] if said is None else _words(said.command or record.command)
    words += [word for finding in said.findings for word in finding.option.split(" ", 1)] if said is not None else []
    found: dict[str, Any] = {}
    for name, read in _READ.items():
        if name in target.takes and getattr(known, name) is None and (value := _after(words, option_of(name))):
            try:
                found[name] = read(value)
            except ValueError as error:
                raise UserError(f"the record says {option_of(name)} {value}, which is no such value") from error
    if said is not None and said.kind == "timm":  # what it was built as, where nothing was typed
        height, width = record.data.image_size
        own = {"architecture": record.subject.backbone} | ({"image_size": height} if height == width else {})
        found = {n: v for n, v in own.items() if getattr(known, n) is None and n in target.takes} | found
    return dataclasses.replace(known, **found)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UserError(f"the record's command cannot be read ({error})") from error


def _after(words: list[str], option: str) -> str | None:
    """Return the value of an option, the last one: ``--crop 0.875`` or ``--crop=0.875``."""
    value = None
    for place, word in enumerate(words):
        if word == option and place + 1 < len(words):
            value = words[place + 1]
        elif word.startswith(f"{option}="):
            value = word.partition("=")[2]
    return value
