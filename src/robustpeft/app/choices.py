"""What can be done to an image on the page, and how strongly? The library's tables, with a range for every slider."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from robustpeft.attacks import ATTACKS, Attack
from robustpeft.errors import UserError, nearest_hint
from robustpeft.perturbations import CORRUPTIONS, PERTURBATIONS, Corruption, PatchDrop, PatchShuffle, Perturbation
from robustpeft.types import THREATS, Patch, Threat

__all__ = ["ATTACK_NAMES", "KINDS", "NORMS", "PERTURBATION_NAMES", "Kind", "Question", "Range", "Steps", "range_of"]

T = TypeVar("T")
Kind = Literal["attack", "perturbation", "corruption"]
KINDS: tuple[Kind, ...] = get_args(Kind)

ATTACK_NAMES = tuple(ATTACKS)
NORMS = tuple(THREATS)
PERTURBATION_NAMES = tuple(name for name in PERTURBATIONS if name != "corruption")
_STEP_FIELDS = ("steps", "queries")


@dataclass(frozen=True)
class Range:
    """Where a slider goes.

    Args:
        label: What it means, with its unit.
        low: Its least value.
        high: Its largest value.
        step: Between two of its values.
        usual: Where it begins.
        unit: What its value is divided by to be in the library's units: 255 for 255ths of the range of a pixel.
    """

    label: str
    low: float
    high: float
    step: float
    usual: float
    unit: float = 1.0


_PIXEL = 255.0
_RANGES: Mapping[tuple[str, str], Range] = {
    ("attack", "linf"): Range("Epsilon in 255ths: no pixel may change by more", 0, 64, 0.5, 8, _PIXEL),
    ("attack", "l2"): Range("Epsilon: Euclidean length of the change, pixels from 0 to 1", 0, 5, 0.05, 0.5),
    ("attack", "l1"): Range("Epsilon: sum of all changes, pixels from 0 to 1", 0, 60, 0.5, 12),
    ("attack", "patch"): Range("Share of the image that a square in its middle covers", 0, 0.5, 0.01, 0.05),
    ("perturbation", "patch_drop"): Range("Share of the patches that go black", 0, 0.9, 0.05, 0.3),
    ("perturbation", "pixel_drop"): Range("Share of the pixels that go black", 0, 0.9, 0.05, 0.3),
    ("perturbation", "patch_shuffle"): Range("Rows and columns that are shuffled", 1, 16, 1, 2),
    ("perturbation", "gaussian_noise"): Range("Standard deviation in 255ths", 0, 128, 1, 25, _PIXEL),
    ("perturbation", "rotation"): Range("Largest angle in degrees", 0, 90, 1, 15),
    ("perturbation", "translation"): Range("Largest move as a share of the side", 0, 0.5, 0.01, 0.1),
}
_SEVERITY = Range("Severity; 0 leaves the image as it is", 0, 5, 1, 3)


@dataclass(frozen=True)
class Steps:
    """How long an attack may search: the field that says so, and its default."""

    field: str
    usual: int

    @classmethod
    def of(cls, attack: str) -> Steps | None:
        """Return them for an attack of the table; None if it has a length of its own."""
        defaults = {f.name: f.default for f in dataclasses.fields(_entry(ATTACKS, attack, "attack"))}
        for name in _STEP_FIELDS:
            usual = defaults.get(name)
            if isinstance(usual, int):
                return cls(name, usual)
        return None


@dataclass(frozen=True)
class Question:
    """What is to be done to the image.

    Args:
        kind: By whom.
        name: Of the attack, the perturbation or the corruption, in its table.
        strength: In the library's units: epsilon on [0, 1], a ratio, a severity.
        norm: Of an attack's threat, in `THREATS`.
        steps: Of an attack that can be told how long it may search.
        seed: Of all randomness.

    Raises:
        UserError: If a name is in no table, or a number is out of its range.
    """

    kind: Kind
    name: str
    strength: float
    norm: str = "linf"
    steps: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"unknown kind {self.kind!r}; {nearest_hint(str(self.kind), KINDS)}")
        if not 1 <= self.steps <= 10_000:
            raise UserError(f"steps must be from 1 to 10,000 here; got {self.steps}")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"seed must be a whole number from 0 to {2**31 - 1}; got {self.seed}")
        reach = range_of(self.kind, self.norm if self.kind == "attack" else self.name)
        if not reach.low / reach.unit <= self.strength <= reach.high / reach.unit:
            shown = self.strength * reach.unit
            raise UserError(f"{reach.label}: from {reach.low:g} to {reach.high:g}; got {shown:g}")

    def attack(self) -> Attack:
        """Return the attack of that many steps."""
        cls, steps = _entry(ATTACKS, self.name, "attack"), Steps.of(self.name)
        return cls() if steps is None else cls(**{steps.field: self.steps})

    def threat(self) -> Threat | None:
        """Return the threat; None if it leaves nothing to attack with."""
        cls = _entry(THREATS, self.norm, "norm")
        if self.strength == 0:
            return None
        return Patch(share=self.strength) if cls is Patch else cls(self.strength)

    def perturbation(self, patch_size: int, image_size: tuple[int, int]) -> Perturbation:
        """Return the perturbation for a network of these sizes in pixels."""
        if self.kind == "corruption":
            _entry(CORRUPTIONS, self.name, "corruption")
            return Corruption(self.name, round(self.strength))
        cls: Any = _entry(PERTURBATIONS, self.name, "perturbation")
        if cls is PatchShuffle:
            return PatchShuffle(_dividing(round(self.strength), image_size))
        if cls is PatchDrop:
            return PatchDrop(self.strength, patch_size=patch_size)
        made: Perturbation = cls(self.strength)
        return made


def range_of(kind: Kind, name: str) -> Range:
    """Return the range of the strength of an attack's norm, a perturbation or a corruption.

    Raises:
        UserError: If there is none of this name.
    """
    if kind == "corruption":
        _entry(CORRUPTIONS, name, "corruption")
        return _SEVERITY
    names = [of for of_kind, of in _RANGES if of_kind == kind]
    if name not in names:
        raise UserError(f"unknown {'norm' if kind == 'attack' else kind} {name!r}; {nearest_hint(str(name), names)}")
    return _RANGES[kind, name]


def _dividing(rows: int, image_size: tuple[int, int]) -> int:
    """Return the number of rows nearest to this one, the smaller of two, that divides both sides."""
    height, width = image_size
    fitting = [n for n in range(1, min(height, width) + 1) if height % n == 0 and width % n == 0]
    return min(fitting, key=lambda n: (abs(n - rows), n))


def _entry(table: Mapping[str, T], name: str, axis: str) -> T:
    """Return the entry of this name; unlike `look_up` it imports nothing that a page could name."""
    if name not in table:
        raise UserError(f"unknown {axis} {name!r}; {nearest_hint(str(name), table)}")
    return table[name]
