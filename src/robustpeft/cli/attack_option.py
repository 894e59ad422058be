"""How does one type an attack? As ``pgd`` or ``pgd:steps=50,restarts=5``."""

from __future__ import annotations

from typing import Any

from robustpeft.errors import UserError

__all__ = ["attack_from_text"]


def attack_from_text(text: str) -> dict[str, Any]:
    """Return the attack as a recipe would write it: its name and the fields that were given.

    The name may be ``package.module:Class``; values are read as YAML.

    Raises:
        UserError: If a field has no value.
    """
    import yaml

    before, equals, after = text.partition("=")
    name, _, first = before.rpartition(":") if equals else (text, "", "")  # a value may hold a colon too
    fields = first + equals + after
    if not name:
        raise UserError(f"an attack is NAME or NAME:FIELD=VALUE,FIELD=VALUE, for example pgd:steps=50; got {text!r}")
    plain: dict[str, Any] = {"name": name}
    for part in fields.split(",") if fields else ():
        field, equals, value = part.partition("=")
        if not (equals and field.strip() and value.strip()):
            raise UserError(f"{part!r} in the attack {text!r} must be FIELD=VALUE, for example steps=50")
        try:
            plain[field.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"{value!r} in the attack {text!r} is no value: {error}") from error
    return plain
