import dataclasses
from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st
from scipy.stats import binomtest

from robustpeft.errors import UserError
from robustpeft.records import ImageRow
from robustpeft.study import mcnemar, price


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_p_value_is_that_of_the_exact_binomial_test(one, other):
    expected = binomtest(one, one + other).pvalue if one + other else 1.0
    assert mcnemar(one, other) == pytest.approx(expected)
    assert mcnemar(one, other) == mcnemar(other, one)


def record(label, right, digest="d"):
    rows = tuple(ImageRow(i, 1, {"clean": 1 if ok else 0}) for i, ok in enumerate(right))
    return SimpleNamespace(subject=SimpleNamespace(label=label), data=SimpleNamespace(digest=digest), rows=rows)


def test_images_are_paired_by_id():
    natural = record("natural", [True] * 6 + [False] * 2)
    robust = record("robust", [True] * 3 + [False] * 4 + [True])
    shuffled = SimpleNamespace(**{**vars(robust), "rows": robust.rows[::-1]})
    for other in (robust, shuffled):
        found = price(natural, other)
        assert (found.natural.count, found.robust.count, found.natural.n) == (6, 4, 8)
        assert (found.only_natural, found.only_robust) == (3, 1)
        assert found.points == pytest.approx(25.0)
        assert found.p_value == pytest.approx(binomtest(1, 4).pvalue)


def test_other_images_cannot_be_paired():
    with pytest.raises(UserError, match="judged on different images"):
        price(record("a", [True]), record("b", [True], digest="e"))


def test_a_price_is_a_value():
    found = price(record("a", [True]), record("b", [True]))
    assert dataclasses.replace(found) == found
    assert (found.points, found.p_value) == (0.0, 1.0)
