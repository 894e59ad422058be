"""What is done to the images before the model sees them? One condition per measurement, each with a key of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import torch
from torch import Tensor

from robustpeft.attacks import ATTACK_AXIS, ATTACKS, Attack
from robustpeft.auditing.plan import AuditPlan
from robustpeft.perturbations import PERTURBATIONS, Perturbation
from robustpeft.types import THREATS, Axis, Batch, Threat, name_of, to_plain

__all__ = ["Condition", "conditions_of"]


@final
@dataclass(frozen=True)
class Condition:
    """The clean images, an attack within a threat, or a perturbation.

    Args:
        key: Unique within the audit, for example ``clean``, ``pgd@linf:0.1``, ``patch_drop@0.3``.
        change: The attack or perturbation; None for the clean images, and where attacks of many kinds come together.
        threat: Of an attack; else None.
        queries: The most questions an image may cost, of an attack whose questions are counted; else None.
        source: Where the images come from, if they are attacked on another model and judged on this one: ``transfer``,
            from the model without its adapter; ``sibling``, from audits of others. Empty otherwise.
    """

    key: str
    change: Attack | Perturbation | None = None
    threat: Threat | None = None
    queries: int | None = None
    source: str = ""

    @property
    def kind(self) -> Literal["clean", "attack", "perturbation"]:
        """What a record calls it."""
        if self.threat is not None:
            return "attack"
        return "clean" if self.change is None else "perturbation"

    @property
    def name(self) -> str:
        """Table name of the attack or perturbation, ``package.module:Class`` if it has none; ``clean`` otherwise."""
        if self.source or self.change is None:
            return self.source or "clean"
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
        return dict(to_plain(self.threat, (Axis(Threat, THREATS, "threat", tag="norm"),)))

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
    widest = (Condition(_key(attack, plan.threats[-1]), attack, plan.threats[-1]) for attack in plan.widest)
    boxes = (
        Condition(_key(attack, plan.threats[-1]), attack, plan.threats[-1], attack.stages(10)[0].course(10).passes)
        for attack in plan.black_box
    )
    perturbations = (Condition(_key(change), change) for change in plan.perturbations_for(image_size))
    return _distinct([Condition("clean"), *attacks, *widest, *boxes, *perturbations])


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
