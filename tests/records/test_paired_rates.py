import math

import pytest
from hypothesis import given, strategies as st

from robustpeft.records import Paired, mcnemar


def test_the_p_value_is_mcnemars():
    assert Paired(3, 9, 100).p_value == mcnemar(3, 9)


def test_pairs_are_counted():
    pairs = [(True, True)] * 4 + [(True, False)] * 3 + [(False, True)] + [(False, False)] * 2
    found = Paired.of(iter(pairs))
    assert found == Paired(3, 1, 10)
    assert found.difference == pytest.approx(0.2)


def test_the_interval_is_the_published_one():
    # by hand: p = 4 / 12, q = 2 / 12; 1 / 6 +- 1.959964 sqrt((0.5 - 1 / 36) / 12)
    low, high = Paired(3, 1, 10).interval()
    half = 1.959963984540054 * math.sqrt((0.5 - 1 / 36) / 12)
    assert (low, high) == pytest.approx((1 / 6 - half, 1 / 6 + half))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_the_interval_mirrors_and_stays_within_one(one, other, alike):
    low, high = Paired(one, other, one + other + alike).interval()
    assert -1 <= low < high <= 1
    assert Paired(other, one, one + other + alike).interval() == pytest.approx((-high, -low))


def test_nothing_compared_has_no_difference():
    assert math.isnan(Paired(0, 0, 0).difference)


@pytest.mark.parametrize("counts", [(-1, 0, 5), (0, -1, 5), (3, 3, 5)])
def test_counts_that_do_not_fit_are_refused(counts):
    with pytest.raises(ValueError, match="do not fit"):
        Paired(*counts)
