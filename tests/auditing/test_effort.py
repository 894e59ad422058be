import pytest

from robustpeft.auditing import AuditPlan
from robustpeft.auditing.effort import EFFORTS, find_effort
from robustpeft.errors import UserError


def test_efforts_grow():
    sizes = [(e.images, e.draws, e.queries) for e in EFFORTS.values()]
    assert sizes == sorted(sizes)
    assert find_effort("none") is None
    assert find_effort("quick") is EFFORTS["quick"]


def test_an_unknown_effort_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'quick'"):
        AuditPlan(epsilons=(0.1,), checks="quik")
