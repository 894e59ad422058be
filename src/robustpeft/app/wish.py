"""What does somebody want to see? Which models, on which image, under what; read from whatever a page sends."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robustpeft.app.choices import Question, range_of
from robustpeft.errors import UserError

__all__ = ["CONTROLS", "Picked", "Wish", "picked_from", "read_wish"]

CONTROLS = (
    "kind", "attack", "norm", "epsilon", "steps", "perturbation", "strength", "corruption", "severity", "seed"
)  # fmt: skip
"""The controls from which a question follows."""

_EXAMPLE = re.compile(r"example/(\d{1,6})/(\d{1,3})")


@dataclass(frozen=True)
class Picked:
    """Which image: an example by its page and place, or an uploaded picture by its token."""

    page: int = 0
    place: int = 0
    token: str = ""

    @property
    def name(self) -> str:
        """What the button of an example is called; empty for an upload."""
        return "" if self.token else f"example/{self.page}/{self.place}"


@dataclass(frozen=True)
class Wish:
    """What somebody wants to see: of which models, on which image, under what."""

    family: str
    labels: tuple[str, ...]
    picked: Picked
    question: Question


def picked_from(name: object) -> Picked:
    """Return the example that a button names.

    Raises:
        UserError: If it names none.
    """
    match = _EXAMPLE.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise UserError("choose one of the images")
    return Picked(int(match[1]), int(match[2]))


def read_wish(family: object, labels: object, picked: Picked, controls: Mapping[str, Any]) -> Wish:
    """Return what the controls say.

    Args:
        family: Title of the backbone.
        labels: A list of labels of models.
        picked: The image.
        controls: Values by the names in `CONTROLS`.

    Raises:
        UserError: If a number is missing or out of its range, or a name is in no table.
    """
    kind = controls["kind"]
    seed = _whole("the seed", controls["seed"])
    listed = tuple(str(label) for label in labels) if isinstance(labels, list | tuple) else ()
    if kind == "attack":
        norm = str(controls["norm"])
        reach = range_of("attack", norm)
        strength = _number(reach.label, controls["epsilon"]) / reach.unit
        steps = _whole("the number of steps", controls["steps"])
        question = Question("attack", str(controls["attack"]), strength, norm=norm, steps=steps, seed=seed)
    else:
        field = "severity" if kind == "corruption" else "strength"
        name = str(controls["corruption" if kind == "corruption" else "perturbation"])
        reach = range_of(kind, name)
        question = Question(kind, name, _number(reach.label, controls[field]) / reach.unit, seed=seed)
    return Wish(str(family), listed, picked, question)


def _number(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{what}: a number is missing")
    return float(value)


def _whole(what: str, value: object) -> int:
    number = _number(what, value)
    if not number.is_integer():
        raise UserError(f"{what} must be a whole number; got {number:g}")
    return int(number)
