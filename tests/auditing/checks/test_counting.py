import dataclasses
import math

import pytest

from robustpeft.auditing.checks.counting import judge_gain, tail
from robustpeft.auditing.checks.question import Question

QUESTION = Question("key", "Title", "strength", "Do this.")


@pytest.mark.parametrize(("count", "n", "share"), [(0, 5, 0.3), (1, 10, 0.005), (3, 16, 0.1), (5, 5, 0.5)])
def test_the_tail_is_that_of_the_binomial_distribution(count, n, share):
    direct = sum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(count, n + 1))
    assert tail(count, n, share) == pytest.approx(direct, abs=1e-12)


def test_no_gain_passes_one_is_in_doubt_several_fail(make_case, plan):
    case = make_case(plan=dataclasses.replace(plan, epsilons=(1e-6,)))  # nothing breaks
    assert int(case.held.sum()) == 48
    assert len(case.survivors) == 24
    verdicts = [judge_gain(QUESTION, case, gained, "It").verdict for gained in (0, 1, 3)]
    assert verdicts == ["pass", "warn", "fail"]
    assert "2 of 24 images that held: about 8.3 points" in judge_gain(QUESTION, case, 2, "It").evidence
