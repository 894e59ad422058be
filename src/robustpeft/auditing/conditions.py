"""What is done to the images before the model sees them? One condition per measurement, each with a key of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import torch
from torch import Tensor

from robustpeft.attacks import ATTACK_AXIS, ATTACKS, PGD, Attack
from robustpeft.auditing.plan import AuditPlan
from robustpeft.perturbations import PERTURBATIONS, Perturbation
from robustpeft.types import THREATS, Batch, Threat, name_of, to_plain

__all__ = ["Condition", "attack_places", "conditions_of", "public_condition"]

_PUBLIC = PGD(steps=20, loss="margin")


@final
@dataclass(frozen=True)
class Condition:
    """The clean images, an attack within a threat, or a perturbation.

    Args:
        key: Unique within the audit, for example ``clean``, ``pgd@linf:0.1``, ``patch_drop@0.3``.
        change: The attack or perturbation; None for the clean images.
        threat: Of an attack; else None.
        queries: The most questions an image may cost, of an attack whose questions are counted; else None.
        borrowed: The images are attacked on the model without its adapter, and judged on this one.
    """

    key: str
    change: Attack | Perturbation | None = None
    threat: Threat | None = None
    queries: int | None = None
    borrowed: bool = False

    @property
    def kind(self) -> Literal["clean", "attack", "perturbation"]:
        """What a record calls it."""
        if self.change is None:
            return "clean"
        return "perturbation" if self.threat is None else "attack"

    @property
    def name(self) -> str:
        """Table name of the attack or perturbation, ``package.module:Class`` if it has none; ``clean`` otherwise."""
        if self.change is None:
            return "clean"
        if self.borrowed:
            return "transfer"
        return name_of({**ATTACKS, **PERTURBATIONS}, self.change)

    @property
    def settings(self) -> dict[str, Any]:
        """Plain fields of the attack or perturbation."""
        if self.change is None:
            return {}
        plain = to_plain(self.change, (ATTACK_AXIS,))
        return {field: value for field, value in plain.items() if field != ATTACK_AXIS.tag}

    @property
    def plain_threat(self) -> dict[str, Any] | None:
        """The threat as a record writes it."""
        if self.threat is None:
            return None
        return {"norm": name_of(THREATS, self.threat), "epsilon": self.threat.epsilon}

    @property
    def strength(self) -> float | None:
        """Position on the strength axis: epsilon, ratio, grid or sigma; None for the clean images."""
        if self.threat is not None:
            return self.threat.epsilon
        return self.change.strength if isinstance(self.change, Perturbation) else None

    def apply(self, batch: Batch, seed: int) -> Tensor:
        """Return the images (b, 3, h, w) that the model is to classify; attacks are not applied here.

        Raises:
            ValueError: If the condition is an attack.
        """
        if self.threat is not None:
            raise ValueError(f"{self.key} is an attack; the driver of attacks carries it out")
        if isinstance(self.change, Perturbation):
            with torch.no_grad():
                return self.change(batch.images, seed=seed, ids=batch.ids)
        return batch.images


def conditions_of(plan: AuditPlan, image_size: tuple[int, int]) -> tuple[Condition, ...]:
    """Return what the plan measures on images of this height and width, the clean images first."""
    attacks = (Condition(_key(attack, threat), attack, threat) for attack in plan.attacks for threat in plan.threats)
    boxes = (
        Condition(_key(attack, plan.threats[-1]), attack, plan.threats[-1], attack.stages(10)[0].course(10).passes)
        for attack in plan.black_box
    )
    perturbations = (Condition(_key(change), change) for change in plan.perturbations_for(image_size))
    return _distinct([Condition("clean"), *attacks, *boxes, *perturbations])


def attack_places(plan: AuditPlan, conditions: Sequence[Condition]) -> dict[tuple[int, int], Condition]:
    """Return those of the conditions that the driver carries out, by the numbers of their attack and threat.

    Args:
        plan: Whose conditions they are.
        conditions: As `conditions_of` has them; others among them are passed over.
    """
    mine = [condition for condition in conditions if condition.kind == "attack" and not condition.borrowed]
    radii, boxes = len(plan.epsilons), len(plan.black_box)
    whole = [(attack, threat) for attack in range(len(plan.attacks)) for threat in range(radii)]
    narrow = [(len(plan.attacks) + box, radii - 1) for box in range(boxes)]
    return dict(zip((*whole, *narrow), mine, strict=True))


def public_condition(plan: AuditPlan) -> Condition | None:
    """Return the condition of a model with an adapter under which images are made without it; None if not asked for."""
    if not (plan.transfer and plan.attacks and plan.epsilons):
        return None
    threat = plan.threats[-1]
    return Condition(f"transfer@{str(threat).replace(' ', ':')}", _PUBLIC, threat, borrowed=True)


def _key(change: Attack | Perturbation, threat: Threat | None = None) -> str:
    if isinstance(change, Perturbation):
        name = name_of(PERTURBATIONS, change)
        return f"{name}:{change.variant}@{change.strength:g}" if change.variant else f"{name}@{change.strength:g}"
    return f"{name_of(ATTACKS, change)}@{str(threat).replace(' ', ':')}"


def _distinct(conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    """Number repeated keys: two attacks of one class differ in settings that the key does not show."""
    seen: Counter[str] = Counter()
    distinct = []
    for condition in conditions:
        seen[condition.key] += 1
        count = seen[condition.key]
        distinct.append(condition if count == 1 else replace(condition, key=f"{condition.key}#{count}"))
    return tuple(distinct)
