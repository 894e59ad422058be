"""Was the right thing tried? Several unlike attacks, not the one of tuning, and none that the model makes senseless."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from robustpeft.attacks import ATTACK_AXIS, FGSM, Attack, Search
from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.question import Question
from robustpeft.records import Check
from robustpeft.types import to_plain

__all__ = ["beyond_one_step", "class_count", "not_the_training_attack", "unlike_attacks"]

_ALIKE = 0.98

BEYOND = Question(
    "beyond_one_step",
    "The plan has more than a single step",
    "strength",
    "Attack with pgd or autoattack: one step says nothing of what several find.",
)
OTHER = Question(
    "not_the_training_attack",
    "The model is judged by an attack that it was not tuned against",
    "strength",
    "Add an attack with another loss or another search, such as apgd or autoattack.",
)
UNLIKE = Question(
    "unlike_attacks",
    "The attacks fail for different reasons",
    "strength",
    "Add an attack of another kind: without gradients (square), or along another loss (margin, dlr).",
)
CLASSES = Question(
    "class_count",
    "The losses of the attacks have a meaning for so many classes",
    "strength",
    "With two or three classes use loss=margin in the place of dlr.",
)


def beyond_one_step(case: Case) -> Check:
    """Return whether an attack of the plan looks further than one step, or searches without gradients."""
    if not case.plan.attacks:
        return BEYOND.skips("No attack was tried.")
    further = [a for a in case.plan.searches if not isinstance(a, FGSM)]
    found = f"{len(case.plan.searches)} attacks, {len(further)} of them of several steps."
    return BEYOND.passes(found) if further else BEYOND.fails(found)


def not_the_training_attack(case: Case) -> Check:
    """Return whether the plan has more than the attack that tuning used, as far as the record knows it."""
    trained = (case.subject.objective or {}).get("attack")
    if not isinstance(trained, dict) or not case.plan.attacks:
        return OTHER.skips("The model was not tuned against an attack that is known.")
    kinds = {_kind(attack) for attack in map(_plain, case.plan.searches) if attack.get("name") != "fgsm"}
    found = f"Tuned against {_kind(trained)}; judged by {', '.join(sorted(kinds)) or 'fgsm'}."
    return OTHER.passes(found) if kinds - {_kind(trained)} else OTHER.warns(found)


def unlike_attacks(case: Case) -> Check:
    """Return whether two attacks at the main threat broke different images, or differ in kind.

    In doubt where images hold, nothing but attacks along one loss was tried, and the sets that any two of them (FGSM
    left out) broke have a Jaccard index above 0.98.
    """
    if case.threat is None:
        return UNLIKE.skips("No attack was tried.")
    kinds = {kind for attack in case.plan.searches for kind in _ways(attack, len(case.setting.classes))}
    found = f"Ways that were tried: {', '.join(sorted(kinds))}"
    if not bool(case.held.any()):
        return UNLIKE.passes(f"{found}; nothing held.")
    broken = [case.broken_by(c) for c in case.attacks_at(case.threat) if not isinstance(c.change, FGSM)]
    overlaps = [float((a & b).sum() / (a | b).sum().clamp_min(1)) for a, b in combinations(broken, 2)]
    if len(kinds) == 1 and all(overlap > _ALIKE for overlap in overlaps):
        return UNLIKE.warns(f"{found}; any two attacks broke the same images.")
    least = f"; least overlap of two attacks {min(overlaps):.2f}" if overlaps else ""
    return UNLIKE.passes(f"{found}{least}.")


def class_count(case: Case) -> Check:
    """Return whether the model has enough classes for the losses of the plan, which refuse fewer by themselves."""
    classes = len(case.setting.classes)
    named = [loss for attack in case.plan.searches if isinstance(loss := getattr(attack, "loss", None), str)]
    found = f"{classes} classes; losses that were named: {', '.join(dict.fromkeys(named)) or 'none'}."
    if classes == 2 and any("targeted" in loss for loss in named):
        return CLASSES.warns(f"{found} With two classes a target is no choice.")
    return CLASSES.passes(found)


def _ways(attack: Attack, classes: int) -> list[str]:
    return [_way(search) for search in attack.stages(classes)]


def _way(search: Search[Any]) -> str:
    course = search.course(10)
    return f"along {course.loss}" if course.gradients else "without gradients"


def _plain(attack: Attack) -> dict[str, Any]:
    plain = to_plain(attack, (ATTACK_AXIS,))
    return plain if isinstance(plain, dict) else {}


def _kind(attack: dict[str, Any]) -> str:
    loss = attack.get("loss")
    return f"{attack.get('name')} ({loss})" if loss else str(attack.get("name"))
