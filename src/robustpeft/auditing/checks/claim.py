"""Is clean accuracy what its author claims? If not, model, data or preprocessing are others than those of the claim."""

from __future__ import annotations

from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.question import Question
from robustpeft.records import Check, Rate

__all__ = ["claimed_clean"]

_ROUNDED = 0.005  # claims are given in whole or tenths of percents
_DROP = 0.10

CLAIM = Question(
    "claimed_clean",
    "Clean accuracy is what was claimed",
    "integrity",
    "Compare data, resizing, cropping, normalisation and classes with those of the claim.",
)


def claimed_clean(case: Case) -> Check:
    """Return whether the claim lies within the 95 % interval of the measured clean accuracy, up to half a point.

    More than 10 points below is a failure, any other disagreement in doubt: a model that is fed wrongly looks weak,
    and one that has seen the images, or need only tell some of its classes apart, looks strong.
    """
    claim = case.subject.claimed_clean
    if claim is None:
        return CLAIM.skips("Nothing was claimed.")
    labels = case.setting.split.labels
    now = Rate(int((case.clean.predictions == labels).sum()), len(labels))
    low, high = now.interval()
    found = f"{now.count} of {now.n} right, {_percent(now.fraction)} % ({_percent(low)} to {_percent(high)})"
    if low - _ROUNDED <= claim <= high + _ROUNDED:
        return CLAIM.passes(f"{found}; consistent with the claimed {_percent(claim)} %.")
    if claim < low:
        return CLAIM.warns(f"{found}; above the claimed {_percent(claim)} %.")
    say = CLAIM.fails if claim - now.fraction > _DROP else CLAIM.warns
    return say(f"{found}; below the claimed {_percent(claim)} %.")


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"
