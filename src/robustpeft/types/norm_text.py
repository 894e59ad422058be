"""How is a kind of threat written in one word? By its norm, with fields besides epsilon behind it where it has some."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from robustpeft.errors import UserError, nearest_hint
from robustpeft.types.tables import look_up, name_of
from robustpeft.types.threat import Threat
from robustpeft.types.values import from_plain

__all__ = ["norm_text", "parse_norm", "threat_of"]

_FIELDS = re.compile(r"(?P<name>.+?):(?P<fields>[A-Za-z_]\w*=.*)")


def parse_norm(text: str) -> tuple[str, dict[str, str | None]]:
    """Return the norm and its fields: ``patch:share=1/50,row=0.2`` is ``patch`` with share ``1/50`` and row ``0.2``.

    Args:
        text: A norm, or ``package.module:Class``, and after a colon fields besides epsilon. What they say is left as
            text, for `from_plain` to read by the threat's annotations; ``None`` alone is None.

    Raises:
        UserError: If a field has no value, or comes twice.
    """
    found = _FIELDS.fullmatch(text)
    if found is None:
        return text, {}
    fields: dict[str, str | None] = {}
    for part in found["fields"].split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or name in fields:
            raise UserError(f"norm {text!r}: expected fields as in patch:share=0.02,row=0.2; got {part!r}")
        fields[name] = None if value == "None" else value
    return found["name"], fields


def threat_of(norm: str, epsilon: float, threats: Mapping[str, type[Threat]]) -> Threat:
    """Return the threat of a norm, written as for `parse_norm`, with this radius.

    Raises:
        UserError: If it names no threat, a field that the threat does not have, or a value that is not the field's.
    """
    name, fields = parse_norm(norm)
    kind = look_up(threats, name, "norm")
    if not issubclass(kind, Threat):
        raise UserError(f"norm {name!r} is not a threat (a class derived from robustpeft.types.Threat)")
    known = _own_fields(kind)
    for field in fields:
        if field not in known:
            there = nearest_hint(field, known) if known else f"{name} has none besides epsilon"
            raise UserError(f"norm {norm!r}: {name} has no field {field!r}; {there}")
    if not fields:
        return kind(epsilon)
    try:
        return from_plain(kind, {"epsilon": epsilon} | fields, ())
    except UserError as error:
        raise UserError(f"norm {norm!r}: {error}") from error


def norm_text(threat: Threat, threats: Mapping[str, type[Threat]]) -> str:
    """Return the norm of a threat as `threat_of` reads it, with the fields that are not what they are by default.

    Raises:
        UserError: If a field cannot be written so: a list, say, or a text with a comma.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(threat)}
    changed = [name for name in _own_fields(type(threat)) if getattr(threat, name) != defaults[name]]
    fields = ",".join(f"{name}={getattr(threat, name)}" for name in changed)
    if not fields:
        return name_of(threats, threat)
    text = f"{name_of(threats, threat)}:{fields}"
    try:
        same = threat_of(text, threat.epsilon, threats) == threat
    except UserError as error:
        raise UserError(f"{threat} cannot be written as a norm: {error}") from error
    if not same:
        raise UserError(f"{threat} cannot be written as a norm: {text!r} is read as another threat")
    return text


def _own_fields(kind: type[Threat]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind) if field.init and field.name != "epsilon"]
