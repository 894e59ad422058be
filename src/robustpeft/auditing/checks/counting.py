"""How many more may another attack break before it matters? A few, by chance; not many."""

from __future__ import annotations

import math

from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.question import Question
from robustpeft.records import Check

__all__ = ["judge_gain", "tail"]

_TOLERANCE = 0.005  # of all images: half a point of robust accuracy
_UNLIKELY = 0.01


def judge_gain(question: Question, case: Case, gained: int, what: str) -> Check:
    """Return the answer to whether something else breaks what the attacks of the plan did not.

    None of the survivors that were tried is a pass. Some are a failure if a gain of half a point of robust accuracy
    would show so many less than once in a hundred samples, and in doubt otherwise.

    Args:
        question: Which.
        case: The audit.
        gained: Survivors of the sample that broke.
        what: What was tried, as the subject of a sentence.
    """
    tried, held, total = len(case.survivors), int(case.held.sum()), len(case.held)
    if tried == 0:
        return question.skips("The attacks of the plan broke every image; nothing is left to be found.")
    found = f"{what} breaks {gained} of {tried} images that held"
    if gained == 0:
        return question.passes(f"{found}.")
    expected = min(1.0, _TOLERANCE * total / held)
    lower = gained / tried * held / total
    say = question.fails if tail(gained, tried, expected) < _UNLIKELY else question.warns
    return say(f"{found}: about {100 * lower:.1f} points of robust accuracy.")


def tail(count: int, n: int, share: float) -> float:
    """Return the probability of at least `count` successes in n trials of probability `share`."""
    return 1 - sum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(count))
