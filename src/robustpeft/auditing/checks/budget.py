"""Does a larger radius help the attacker? It must, until nothing holds."""

from __future__ import annotations

import math

import torch

from robustpeft.attacks import PGD
from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.question import Question
from robustpeft.records import Check, Rate
from robustpeft.types import Threat

__all__ = ["falls_with_radius", "large_radius", "whole_box"]

_NO_RADIUS = "No attack of the plan goes along gradients within a norm."

FALLS = Question(
    "falls_with_radius",
    "Robust accuracy falls as the radius grows",
    "strength",
    "An attack that gains nothing from a larger radius does not use it: look at step sizes and gradients.",
)
LARGE = Question(
    "large_radius",
    "At a radius that can hide the image, accuracy is at most that of guessing",
    "strength",
    "The search does not find what is certainly there: look for masked gradients, attack by queries.",
)
BOX = Question(
    "whole_box",
    "Without a radius every image falls",
    "strength",
    "The search does not find what is certainly there: look for masked gradients, attack by queries.",
)


def falls_with_radius(case: Case) -> Check:
    """Return whether the worst case over attacks falls from radius to radius, image by image never rising.

    Not falling at all, from clean to the largest radius, is in doubt; for that the attacks of every radius count, since
    one that is tried within the largest alone always makes a step there.

    Source: Carlini et al. 2019, arXiv:1902.06705, Section 4.
    """
    if case.threat is None:
        return FALLS.skips("No attack was tried.")
    held, counts = case.correct.clone(), [int(case.correct.sum())]
    steady = case.correct.clone()
    for threat in case.plan.threats:
        now = case.correct.clone()
        for condition in case.attacks_at(threat):
            right = case.outcomes[condition].predictions == case.setting.split.labels
            now &= right
            if condition.change in case.plan.attacks and condition.queries is None and not condition.source:
                steady &= right
        if bool((now & ~held).any()):
            return FALLS.fails(f"{int((now & ~held).sum())} images broken within a smaller radius hold at {threat}.")
        held = now
        counts.append(int(now.sum()))
    radii = ", ".join(["clean", *(str(threat) for threat in case.plan.threats)])
    found = f"Images that hold ({radii}): {', '.join(map(str, counts))}."
    return FALLS.warns(found) if counts[0] == int(steady.sum()) > 0 else FALLS.passes(found)


def large_radius(case: Case) -> Check:
    """Return whether PGD at half the radius of the box leaves no more than guessing would; that is 0.5 in Linf.

    The sample's images that are misclassified when clean count as broken. It fails if the 95 % interval of what is
    left lies above one in the number of classes.

    Cost:
        At most 41 forwards and 40 backwards for every image of the sample.

    Source: Carlini et al. 2019, arXiv:1902.06705, Section 4.
    """
    if case.threat is None or case.climber is None or (threat := _reaching(case, 0.5)) is None:
        return LARGE.skips(_NO_RADIUS)
    left, total = _left(case, threat)
    chance, rate = 1 / len(case.setting.classes), Rate(left, total)
    found = f"{left} of {total} images hold against PGD at {threat}; guessing is right on {100 * chance:.1f} %."
    return LARGE.fails(found) if rate.interval()[0] > chance else LARGE.passes(found)


def whole_box(case: Case) -> Check:
    """Return whether PGD that may use all of [0, 1] breaks every image.

    Cost:
        At most 41 forwards and 40 backwards for every image of the sample.

    Source: Carlini et al. 2019, arXiv:1902.06705, Section 4; Pintor et al. 2022, arXiv:2106.09947, unconstrained
    attack failure. One image that holds is in doubt, more than a tenth a failure.
    """
    if case.threat is None or case.climber is None or (threat := _reaching(case, 1.0)) is None:
        return BOX.skips(_NO_RADIUS)
    left, total = _left(case, threat)
    found = f"{left} of {total} images hold against PGD that may use all of [0, 1]."
    if left > 0.1 * total:
        return BOX.fails(found)
    return BOX.warns(found) if left else BOX.passes(found)


def _reaching(case: Case, share: float) -> Threat | None:
    """Return the main threat with this share of the radius that reaches across the whole box; None if none does."""
    assert case.threat is not None
    pixels = case.sample.images[0].numel()
    reach = {"linf": 1.0, "l2": math.sqrt(pixels), "l1": float(pixels)}.get(case.threat.norm)
    return None if reach is None else case.threat.with_epsilon(min(share * reach, case.threat.max_epsilon))


def _left(case: Case, threat: Threat) -> tuple[int, int]:
    """Return how many correct images of the sample PGD leaves, on cross-entropy and then on the margin."""
    right = torch.isin(case.setting.split.ids, case.sample.ids.cpu()) & case.correct
    split = case.setting.split.subset(right.nonzero().flatten())
    for attack in (PGD(steps=20), PGD(steps=20, loss="margin")):
        broken = case.breaks(attack, split, threat)
        split = split.subset((~broken).nonzero().flatten())
    return len(split), len(case.sample)
