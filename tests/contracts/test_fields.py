"""Every field of every attack and threat refuses what has no meaning, naming itself and what was given."""

import dataclasses
import math
import typing

import pytest

from robustpeft.attacks import ATTACKS
from robustpeft.types import THREATS, UserError

NEEDED = {"epsilon": 0.1}
WRONG_KIND = {
    int: (2.5, "10", True, None, [1], math.nan, math.inf),
    float: ("a", "8/255", True, None, [0.1], math.nan, math.inf, -math.inf),
    str: (5, None, ["cross_entropy"]),
    bool: (1, "yes", None),
}
ZERO_IS_MEANT = {"epsilon", "momentum", "alpha_max", "row", "column"}


def fields_of(cls):
    hints = typing.get_type_hints(cls)
    return [(field.name, hints[field.name]) for field in dataclasses.fields(cls)]


def senseless(name, hint):
    """Return values that this field must refuse."""
    if typing.get_origin(hint) is typing.Literal:
        return ("nothing", 3, None)
    parts = typing.get_args(hint) or (hint,)
    (kind,) = [part for part in parts if part is not type(None)]
    found = [value for value in WRONG_KIND[kind] if value is not None or type(None) not in parts]
    if kind in (int, float):
        found += [-1] if name in ZERO_IS_MEANT else [-1, 0]
    return tuple(found)


CASES = [
    (cls, name, value)
    for table in (ATTACKS, THREATS)
    for cls in table.values()
    for name, hint in fields_of(cls)
    for value in senseless(name, hint)
]


def test_there_is_something_to_ask():
    assert {cls for cls, _, _ in CASES} == {*ATTACKS.values(), *THREATS.values()}
    assert len(CASES) > 200


@pytest.mark.parametrize(("cls", "name", "value"), CASES, ids=lambda part: getattr(part, "__name__", repr(part)))
def test_a_field_without_meaning_is_refused_by_name(cls, name, value):
    needed = {key: given for key, given in NEEDED.items() if key in {field.name for field in dataclasses.fields(cls)}}
    with pytest.raises(UserError) as refused:
        cls(**needed | {name: value})
    said = str(refused.value)
    shown = f"{value:g}" if type(value) in (int, float) and math.isfinite(value) else repr(value)
    assert said.startswith(f"{name} must ")
    assert said.count(repr(value)) or shown in said


@pytest.mark.parametrize("cls", [*ATTACKS.values(), *THREATS.values()], ids=lambda cls: cls.__name__)
def test_its_defaults_are_not_refused(cls):
    needed = {key: given for key, given in NEEDED.items() if key in {field.name for field in dataclasses.fields(cls)}}
    assert cls(**needed) == dataclasses.replace(cls(**needed))
