"""How sure is the number? Its interval, the classes behind it, and whether it is reported with its companions."""

from __future__ import annotations

import torch

from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.question import Question
from robustpeft.records import Check, Rate

__all__ = ["even_classes", "narrow_interval"]

_WIDE = 0.05

INTERVAL = Question(
    "narrow_interval",
    "Enough images for an interval of at most 5 points to either side",
    "statistics",
    "Audit more images; the width falls with the square root of their number.",
)
EVEN = Question(
    "even_classes",
    "No class fares far worse than the whole",
    "statistics",
    "Report the worst class beside the mean: an average hides it.",
)


def narrow_interval(case: Case) -> Check:
    """Return whether the Wilson interval of robust accuracy is narrow; with it clean accuracy and attack success."""
    total, right, held = len(case.held), int(case.correct.sum()), int(case.held.sum())
    low, high = Rate(held, total).interval()
    half = (high - low) / 2
    found = (
        f"Clean {right} of {total}, holding {held} of {total}, broken {right - held} of {right} that were right; "
        f"95 % interval {100 * low:.1f} to {100 * high:.1f} %."
    )
    return INTERVAL.warns(found) if half > _WIDE else INTERVAL.passes(found)


def even_classes(case: Case) -> Check:
    """Return whether the worst class's interval reaches half the robust accuracy over all images."""
    labels, classes = case.setting.split.labels, case.setting.classes
    held = torch.bincount(labels[case.held], minlength=len(classes)).tolist()
    total = torch.bincount(labels, minlength=len(classes)).tolist()
    rates = {name: Rate(k, n) for name, k, n in zip(classes, held, total, strict=True) if n}
    worst = min(rates, key=lambda name: rates[name].fraction)
    rate, whole = rates[worst], Rate(int(case.held.sum()), len(case.held))
    found = f"Worst class {worst}: {rate.count} of {rate.n} hold; {whole.count} of {whole.n} over all."
    return EVEN.warns(found) if rate.interval()[1] < whole.fraction / 2 else EVEN.passes(found)
