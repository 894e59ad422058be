"""Did the attacks go as far as they could? More steps and starts, other step sizes and targets must add nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from robustpeft.attacks import APGD, ATTACK_AXIS, FGSM, PGD, Attack
from robustpeft.attacks.losses import find_loss
from robustpeft.auditing.checks.case import Case, is_climber
from robustpeft.auditing.checks.counting import judge_gain
from robustpeft.auditing.checks.question import Question
from robustpeft.auditing.conditions import Condition
from robustpeft.records import Check
from robustpeft.types import to_plain

__all__ = ["more_starts", "more_steps", "other_targets", "several_steps_win", "step_sizes"]

_STEP_SIZES = (0.25, 1.0, 4.0)  # of the usual one

SEVERAL = Question(
    "several_steps_win",
    "Several steps break whatever one step breaks",
    "strength",
    "Look at step sizes and at masked gradients: an iterated attack that loses to one step is broken.",
)
STEPS = Question(
    "more_steps", "Twice the steps break no more", "strength", "Give the attack more steps until nothing is gained."
)
STARTS = Question(
    "more_starts",
    "Another random start breaks no more",
    "strength",
    "Give the attack restarts until nothing is gained.",
)
SIZES = Question(
    "step_sizes", "Other step sizes break no more", "strength", "Attack with the step size that breaks most, or apgd."
)
TARGETS = Question(
    "other_targets",
    "A search towards single wrong classes breaks no more",
    "strength",
    "Attack with autoattack: on the way to whichever class is nearest the gradients lead nowhere.",
)
_NO_CLIMBER = "No attack of the plan goes along gradients in several steps."


def several_steps_win(case: Case) -> Check:
    """Return whether no image falls to FGSM that holds against the plan's attacks of several steps.

    FGSM of the plan is compared on all images; if the plan has none, it is tried on those that held.

    Cost:
        2 forwards and 1 backward for every survivor of the sample, if the plan has no FGSM.

    Source: Carlini et al. 2019, arXiv:1902.06705, Section 4.
    """
    threat = case.threat
    if case.climber is None or threat is None:
        return SEVERAL.skips(_NO_CLIMBER)
    single = [condition for condition in case.attacks_at(threat) if isinstance(condition.change, FGSM)]
    if not single:
        gained = int(case.breaks(FGSM(), case.survivors, threat).sum())
        return judge_gain(SEVERAL, case, gained, "A single step (FGSM)")
    climbers = [c for c in case.attacks_at(threat) if _climbs(c, len(case.setting.classes))]
    one = torch.stack([case.broken_by(condition) for condition in single]).any(dim=0)
    several = torch.stack([case.broken_by(condition) for condition in climbers]).any(dim=0)
    missed, broken = int((one & ~several).sum()), int(several.sum())
    found = f"One step breaks {int(one.sum())} images, several steps {broken}; {missed} fall to one step alone."
    if int(one.sum()) > broken or missed > 0.005 * len(one) + 1:
        return SEVERAL.fails(found)
    return SEVERAL.warns(found) if missed else SEVERAL.passes(found)


def more_steps(case: Case) -> Check:
    """Return whether twice the steps of the plan's last gradient attack break none of the images that held.

    Cost:
        Twice that of the attack for every survivor of the sample.

    Source: Carlini et al. 2019, arXiv:1902.06705, Section 4; the tolerance of half a point is ours.
    """
    attack = case.climber
    if attack is None or case.threat is None:
        return STEPS.skips(_NO_CLIMBER)
    steps = 2 * int(to_plain(attack, (ATTACK_AXIS,))["steps"])
    longer = _with(attack, steps=steps)
    gained = int(case.breaks(longer, case.survivors, case.threat).sum())
    return judge_gain(STEPS, case, gained, f"{type(attack).__name__} with {steps} steps")


def more_starts(case: Case) -> Check:
    """Return whether the same attack with other chance breaks none of the images that held.

    Cost:
        That of the attack for every survivor of the sample.

    Source: Carlini et al. 2019, arXiv:1902.06705, Section 4.
    """
    attack = case.climber
    if attack is None or case.threat is None:
        return STARTS.skips(_NO_CLIMBER)
    if getattr(attack, "random_start", True) is False:
        attack = _with(attack, random_start=True)
    gained = int(case.breaks(attack, case.survivors, case.threat, seed=case.setting.seed + 1).sum())
    return judge_gain(STARTS, case, gained, f"{type(attack).__name__} from another start")


def step_sizes(case: Case) -> Check:
    """Return whether PGD on the margin with a quarter of, once and four times the usual step breaks no more.

    Cost:
        63 forwards and 60 backwards for every survivor of the sample; only where the effort allows it.

    Source: Carlini et al. 2019, arXiv:1902.06705, Section 4 (hyper-parameters of attacks).
    """
    if not case.effort.sweep or case.threat is None or case.climber is None:
        return SIZES.skips("Tried in the profiles standard and full." if case.climber else _NO_CLIMBER)
    broken = torch.zeros(len(case.survivors), dtype=torch.bool)
    for factor in _STEP_SIZES:
        step = min(factor * 2.5 * case.threat.epsilon / 20, case.threat.max_epsilon)
        broken |= case.breaks(PGD(steps=20, step_size=step, loss="margin"), case.survivors, case.threat)
    return judge_gain(SIZES, case, int(broken.sum()), "PGD with three step sizes")


def other_targets(case: Case) -> Check:
    """Return whether a search towards single wrong classes, the likeliest first, breaks none of the images that held.

    A search away from the right class can stand on a plateau on which nothing is nearer than the class that it cannot
    reach. So it was with LoRA after adversarial tuning on the digits: PGD left 39.6 % right, AutoAttack 3.6 %, and no
    check of the profile quick failed before this one was among them.

    Cost:
        21 forwards and 20 backwards a class, for every survivor of the sample; none if the plan has such a search.

    Source: Croce and Hein 2020, arXiv:2003.01690, Section 4 (targeted APGD); the check is ours.
    """
    classes = len(case.setting.classes)
    if case.climber is None or case.threat is None:
        return TARGETS.skips(_NO_CLIMBER)
    courses = [search.course(classes) for attack in case.plan.searches for search in attack.stages(classes)]
    if any(course.loss and find_loss(course.loss).targeted for course in courses):
        return TARGETS.skips("The plan goes towards single classes itself.")
    attack = APGD(steps=20, loss="targeted_margin", targets=case.effort.targets)
    gained = int(case.breaks(attack, case.survivors, case.threat).sum())
    return judge_gain(TARGETS, case, gained, f"APGD towards each of {min(attack.targets, classes - 1)} wrong classes")


def _climbs(condition: Condition, classes: int) -> bool:
    stages: Sequence[Any] = condition.change.stages(classes) if isinstance(condition.change, Attack) else ()
    return any(is_climber(search) for search in stages)


def _with(attack: Attack, **changes: Any) -> Attack:
    return dataclasses.replace(attack, **changes)
