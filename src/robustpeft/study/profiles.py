"""How thorough is an audit? A few profiles by name, each a change of the plan, and how long it may take."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from robustpeft.attacks import APGD, ATTACKS, FGSM, Attack, AutoAttack, HardLabel, Square
from robustpeft.attacks.driver import default_slots
from robustpeft.attacks.subject import device_of
from robustpeft.auditing import AuditPlan
from robustpeft.auditing.effort import find_effort
from robustpeft.errors import UserError, nearest_hint
from robustpeft.types import Classifier, Split, attack_view, gives_gradients, name_of

__all__ = ["PROFILES", "Estimate", "Profile", "estimate", "in_words", "with_profile"]

_PASSES = 3
_QUERIES = Square(queries=4999)  # and its first point: 5,000 questions
_ASKED = 64
"""Of so many images the profile ``standard`` counts the queries: all 5,000 are asked about each that holds, also about
those that gradients broke long before, which takes longer than everything else on all images."""
_BORROWED, _MINIMAL = 43, 203  # passes of one image, see `AuditPlan`


@dataclass(frozen=True)
class Profile:
    """What a profile changes in a plan.

    Args:
        says: What it is for, and what it is not.
        changes: Fields of `AuditPlan`.
        other_norms: What is changed back for norms other than Linf and L2, which AutoAttack, the search by labels and
            that for minimal norms are not for.
        queries: Of the search that takes the attacks' place where the model gives no gradients.
    """

    says: str
    changes: Mapping[str, Any]
    other_norms: Mapping[str, Any] = field(default_factory=dict)
    queries: int = 1000


PROFILES: Mapping[str, Profile] = {
    "quick": Profile(
        "minutes on a laptop; no substitute for AutoAttack",
        {"checks": "quick"},
    ),
    "standard": Profile(
        "the field's yardstick, and all checks",
        {
            "attacks": AuditPlan.attacks,
            "widest": (AutoAttack(),),
            "black_box": (_QUERIES,),
            "black_box_images": _ASKED,
            "images": 1000,
            "checks": "standard",
        },
        {"attacks": (FGSM(), APGD(restarts=5), Square()), "widest": ()},
        queries=5000,
    ),
    "full": Profile(
        "restarts, twice the steps, minimal norms where they can be had, sweeps",
        {
            "attacks": (FGSM(), AutoAttack("plus"), APGD(steps=200, restarts=5, loss="margin")),
            "widest": (),
            "black_box": (_QUERIES, HardLabel(queries=5000)),
            "black_box_images": None,
            "minimal_norms": True,
            "images": None,
            "checks": "full",
        },
        {
            "attacks": (
                FGSM(),
                APGD(steps=200, restarts=10),
                APGD(steps=200, restarts=5, loss="margin"),
                Square(restarts=2),
            ),
            "black_box": (_QUERIES,),
            "minimal_norms": False,
        },
        queries=10000,
    ),
}


@dataclass(frozen=True)
class Estimate:
    """How long an audit may take.

    Args:
        images: How many.
        seconds: If no image broke; every image that does makes it shorter.
        passes: Forwards and backwards of one image, likewise.
        seconds_a_pass: What one of them takes, the mean of a forward and a backward.
    """

    images: int
    seconds: float
    passes: int
    seconds_a_pass: float


def with_profile(plan: AuditPlan, name: str, *, gradients: bool = True) -> AuditPlan:
    """Return the plan as a profile changes it; for a model that gives no gradients, with a search by queries.

    Raises:
        UserError: For an unknown name, with the nearest valid one.
    """
    if name not in PROFILES:
        raise UserError(f"unknown profile {name!r}; {nearest_hint(name, PROFILES)}")
    profile = PROFILES[name]
    changed = dataclasses.replace(plan, **profile.changes)
    if plan.norm not in ("linf", "l2"):
        changed = dataclasses.replace(changed, **profile.other_norms)
    if gradients:
        return changed
    return dataclasses.replace(changed, attacks=(Square(queries=profile.queries),), widest=(), minimal_norms=False)


def in_words(plan: AuditPlan) -> str:
    """Return what a plan attacks with, and within which radii."""
    many = len(plan.epsilons) > 1
    parts = [f"{_listed(plan.attacks)} within {'every radius' if many else 'the radius'}"] if plan.attacks else []
    most = "" if plan.black_box_images is None else f" on at most {plan.black_box_images} images"
    for alone, where in ((plan.widest, ""), (plan.black_box, most)):
        if alone:
            parts.append(f"{_listed(alone)}{' within the largest' if many else ''}{where}")
    return ", ".join(parts) or "no attacks"


def _listed(attacks: Sequence[Attack]) -> str:
    return " and ".join(dict.fromkeys(_spoken(attack) for attack in attacks))


def _spoken(attack: Attack) -> str:
    course = attack.stages(10)[0].course(10)
    name = name_of(ATTACKS, attack)
    return name if course.gradients else f"{name} ({course.passes:,} questions)"


def estimate(model: Classifier, split: Split, plan: AuditPlan, classes: int) -> Estimate:
    """Return how long the plan takes at most on the images of a split, judged by a few passes.

    Args:
        model: As for `run_audit`.
        split: The images that the plan chooses from.
        plan: What is to be measured.
        classes: Number of classes.

    Cost:
        4 forwards and backwards of one batch.
    """
    count = len(split) if plan.images is None else min(plan.images, len(split))
    attacks = sum(_passes(attack, classes) for attack in plan.attacks) * len(plan.epsilons)
    attacks += sum(_passes(attack, classes) for attack in plan.widest)
    asked = count if plan.black_box_images is None else min(plan.black_box_images, count)
    queries = asked * sum(_passes(attack, classes) for attack in plan.black_box)
    attacks += _MINIMAL * plan.minimal_norms
    attacks += _BORROWED * (plan.transfer and bool(getattr(model, "attachments", ())))
    effort = find_effort(plan.checks)
    checks = (
        0
        if effort is None
        else 500 + 2 * effort.draws + 2 * effort.queries + 41 * effort.targets + _doubled(plan, classes)
    )
    passes = count * (1 + attacks) + queries + (0 if effort is None else min(effort.images, count) * checks)
    each = _seconds_a_pass(model, split)
    return Estimate(count, passes * each, passes, each)


def _passes(attack: Attack, classes: int) -> int:
    courses = [stage.course(classes) for stage in attack.stages(classes)]
    return sum(course.runs * (course.passes + course.gradients // course.every) * course.samples for course in courses)


def _doubled(plan: AuditPlan, classes: int) -> int:
    """Return what the checks of twice the steps and of another start cost an image."""
    return max(
        (3 * _passes(attack, classes) for attack in plan.searches if not isinstance(attack, AutoAttack)), default=0
    )


def _seconds_a_pass(model: Classifier, split: Split) -> float:
    device, view = device_of(model), attack_view(model)
    first = next(iter(split.batches(1, device=device))).images
    images = first.expand(min(default_slots(first), len(split)), -1, -1, -1).clone().requires_grad_(True)
    seen_through = gives_gradients(model)
    with torch.set_grad_enabled(seen_through):
        for turn in range(_PASSES + 1):
            if turn == 1:  # the first is slower than all others
                _wait(device)
                start = time.perf_counter()
            answer = view(images).float().sum()
            if seen_through:
                torch.autograd.grad(answer, images, allow_unused=True)
        _wait(device)
    return (time.perf_counter() - start) / ((2 if seen_through else 1) * _PASSES * len(images))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
