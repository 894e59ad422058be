import pytest
from hypothesis import given, strategies as st
from scipy.stats import binomtest

from robustpeft.records import holm, mcnemar


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_p_value_is_that_of_the_exact_binomial_test(one, other):
    expected = binomtest(one, one + other).pvalue if one + other else 1.0
    assert mcnemar(one, other) == pytest.approx(expected)
    assert mcnemar(one, other) == mcnemar(other, one)


def test_holm_is_the_textbook_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.6]) == (1.0, 1.0)
    assert holm([]) == ()
