"""How does one type an attack? As ``pgd`` or ``pgd:steps=50,restarts=5``."""

from __future__ import annotations

from typing import Any

from robustpeft.errors import UserError

__all__ = ["attack_from_text", "value_from_text"]


def attack_from_text(text: str) -> dict[str, Any]:
    """Return the attack as a recipe would write it: its name and the fields that were given.

    The name may be ``package.module:Class``; values are read as YAML.

    Raises:
        UserError: If a field has no value.
    """
    before, equals, after = text.partition("=")
    name, _, first = before.rpartition(":") if equals else (text, "", "")  # a value may hold a colon too
    fields = first + equals + after
    if not name:
        raise UserError(f"an attack is NAME or NAME:FIELD=VALUE,FIELD=VALUE, for example pgd:steps=50; got {text!r}")
    plain: dict[str, Any] = {"name": name}
    for part in fields.split(",") if fields else ():
        field, value = value_from_text(part, f"in the attack {text!r}", "steps=50")
        plain[field] = value
    return plain


def value_from_text(part: str, where: str, example: str) -> tuple[str, Any]:
    """Return a field and its value, read as YAML.

    Args:
        part: ``FIELD=VALUE``.
        where: For the message.
        example: For the message.

    Raises:
        UserError: If it is not that.
    """
    import yaml

    field, equals, value = part.partition("=")
    if not (equals and field.strip() and value.strip()):
        raise UserError(f"{part!r} {where} must be FIELD=VALUE, for example {example}")
    try:
        return field.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"{value!r} {where} is no value: {error}") from error
