import math

import pytest
from hypothesis import given, strategies as st
from scipy.stats import t

from robustpeft.records import mean_interval


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_the_interval_is_students(values):
    n = len(values)
    mean = sum(values) / n
    scale = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    half = t.ppf(0.975, n - 1) * scale
    assert mean_interval(values) == pytest.approx((mean - half, mean + half), abs=2e-3 * half + 1e-9)


def test_one_value_says_nothing_of_its_mean():
    assert mean_interval([0.5]) == (-math.inf, math.inf)
