"""Did the search miss what float32 would have found? Asked where it ran in lower precision."""

from __future__ import annotations

from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.question import Question
from robustpeft.records import Check, Rate

__all__ = ["low_precision"]

PRECISION = Question(
    "low_precision",
    "The search in low precision misses nothing",
    "strength",
    "Run the attacks in float32 (precision: float32).",
)


def low_precision(case: Case) -> Check:
    """Return whether the same attacks in float32 break nothing of a sample of what held.

    What a search in bfloat16 found counts only because float32 confirmed it; so it can miss images, and never invent
    one. The sample tells how many it missed, at the largest radius.
    """
    missed = case.keepsake.missed
    if missed is None:
        return PRECISION.skips("The search ran in float32.")
    held, broken = missed.held[-1], missed.broken[-1]
    if not held:
        return PRECISION.skips("No image held, so none was missed.")
    low, high = Rate(broken, held).interval()
    found = f"of {held} images that held in bfloat16, float32 breaks {broken} ({100 * low:.1f} to {100 * high:.1f} %)"
    if broken:
        return PRECISION.fails(f"{found}; robust accuracy is lower than it was counted.")
    return PRECISION.passes(f"{found[0].upper()}{found[1:]}.")
