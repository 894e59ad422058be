"""What is to be tried on every image? Attacks within threats, as a list of stages in the order of their cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

from torch import Tensor

from robustpeft.attacks.base import Attack
from robustpeft.attacks.ensemble import stage_stream
from robustpeft.attacks.search import Search
from robustpeft.errors import UserError
from robustpeft.types import LATER, Threat, chosen_part, name_of

__all__ = ["AttackPlan", "Stage"]

CLEAN = "clean"


@final
@dataclass(frozen=True)
class AttackPlan:
    """Every attack within every threat.

    Args:
        attacks: In the order in which they are tried, cheap before costly.
        threats: In the order in which they are tried; of one norm, the smaller radius first.
        seed: Of all randomness.
        widest: Attacks that are tried within the last threat alone, where each threat would cost too much.
        narrow: Likewise, after all others, and on images that others' images broke too: what they take to break an
            image is to be known of every one.
        narrow_images: The narrow ones are tried on so many images alone, a stratified choice by the seed; None for all.
        cascade: An image that one attack broke within a threat is not tried again by later ones: the worst case over
            all attacks at the lowest cost, without a rate for each of them.

    Raises:
        UserError: If there is none of either, a larger radius stands before a smaller one, or two have one name.
    """

    attacks: tuple[Attack, ...]
    threats: tuple[Threat, ...]
    seed: int = 0
    widest: tuple[Attack, ...] = field(default=(), metadata=LATER)
    narrow: tuple[Attack, ...] = ()
    cascade: bool = False
    narrow_images: int | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if not self.all_attacks or not self.threats:
            raise UserError("a plan needs at least one attack and one threat")
        if self.narrow_images is not None and self.narrow_images < 1:
            raise UserError(f"narrow_images must be at least 1, or None for all; got {self.narrow_images}")
        if self.narrow_images is not None and self.last < 0:
            raise UserError("narrow_images leaves images out, and no attack is tried on those; give attacks too")
        for place, later in enumerate(self.threats):
            for earlier in self.threats[:place]:
                if earlier.with_epsilon(later.epsilon) == later and later.epsilon <= earlier.epsilon:
                    raise UserError(f"threats must come with ascending epsilon; {later} follows {earlier}")
                if str(earlier) == str(later):
                    raise UserError(f"two threats have one name, {later}: {earlier!r} and {later!r}")

    @property
    def all_attacks(self) -> tuple[Attack, ...]:
        """The attacks by the number that stages and findings know them by: of all threats, the widest, the narrow."""
        return (*self.attacks, *self.widest, *self.narrow)

    @property
    def last(self) -> int:
        """The number of the last attack that is not narrow."""
        return len(self.attacks) + len(self.widest) - 1

    def spares(self, attack: int) -> bool:
        """Return whether the attack of this number leaves out what images found against other models broke."""
        return attack <= self.last

    def images_of(self, attack: int, labels: Tensor, ids: Tensor) -> frozenset[int]:
        """Return the ids of the images that the attack of this number is tried on, of those with these (n,)."""
        if self.narrow_images is None or attack <= self.last:
            return frozenset(ids.tolist())
        return frozenset(ids[chosen_part(labels, ids, self.narrow_images, self.seed)].tolist())

    def threats_of(self, attack: int) -> range:
        """Return within which threats, by number, the attack of this number is tried."""
        return range(0 if attack < len(self.attacks) else len(self.threats) - 1, len(self.threats))

    def stages(self, classes: int, table: dict[str, type]) -> tuple[Stage, ...]:
        """Return what is done on a model with so many classes: attack by attack, each within all its threats."""
        return tuple(
            Stage(attack, threat, number, search, f"{attack}.{_label(value, number, search, table)}")
            for attack, value in enumerate(self.all_attacks)
            for threat in self.threats_of(attack)
            for number, search in enumerate(value.stages(classes))
        )


@final
@dataclass(frozen=True)
class Stage:
    """One search of one attack within one threat.

    Args:
        attack: Its place in the plan.
        threat: Likewise.
        number: Place of the search within its attack.
        search: The search.
        label: Unique within the plan for one threat, for example ``2.autoattack/0.apgd``.
    """

    attack: int
    threat: int
    number: int
    search: Search[Any]
    label: str

    def key(self, plan: AttackPlan) -> str:
        """Return the name under which the ledger keeps it, for example ``1.pgd@linf 8/255``."""
        return f"{self.label}@{plan.threats[self.threat]}"

    @property
    def stream(self) -> str:
        """Name of the chance it uses."""
        return stage_stream(self.number, self.search)


def _label(attack: Attack, number: int, search: Search[Any], table: dict[str, type]) -> str:
    name = name_of(table, attack)
    return name if attack is search else f"{name}/{number}.{name_of(table, search)}"
