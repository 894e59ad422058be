import math
import statistics

import pytest
from hypothesis import given, settings, strategies as st

from robustpeft.report.study.ratio import ratio_interval


def half(n):
    return frozenset(range(n // 2))


def test_a_part_of_what_the_other_keeps_is_a_binomial_share():
    low, high = ratio_interval([frozenset(range(50))], [frozenset(range(100))], 200)
    width = 1.96 * math.sqrt(0.5 * 0.5 / 100)
    assert (low, high) == pytest.approx((0.5 - width, 0.5 + width), abs=0.015)


def test_disjoint_arms_vary_against_each_other():
    # the delta method for the log of a ratio of two cells of a multinomial: 1 / n one + 1 / n other
    one, other = frozenset(range(100)), frozenset(range(100, 300))
    low, high = ratio_interval([one], [other], 400)
    width = 1.96 * math.sqrt(1 / 100 + 1 / 200)
    assert (math.log(low), math.log(high)) == pytest.approx((math.log(0.5) - width, math.log(0.5) + width), abs=0.04)


def test_seeds_are_drawn_as_well_as_images():
    alike = [frozenset(range(60))] * 3
    unlike = [frozenset(range(n)) for n in (30, 60, 90)]
    reference = [frozenset(range(100))] * 3
    narrow, wide = (ratio_interval(one, reference, 100) for one in (alike, unlike))
    # all images are kept by the reference in each draw, so what is left is a mean of three seeds, and of n images
    spread = math.sqrt(statistics.variance([0.3, 0.6, 0.9]) / 3 + 0.0024)
    assert wide[1] - wide[0] == pytest.approx(2 * 1.96 * spread, rel=0.1)
    assert narrow[1] - narrow[0] == pytest.approx(2 * 1.96 * math.sqrt(0.0024), rel=0.1)


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(0, 30), min_size=12), st.integers(31, 60))
def test_an_arm_is_all_of_itself_whatever_is_drawn(kept, n):
    assert ratio_interval([frozenset(kept)], [frozenset(kept)], n) in [(1.0, 1.0), None]


def test_nothing_is_a_share_of_nothing():
    assert ratio_interval([half(10)], [frozenset()], 10) is None
    assert ratio_interval([half(10)], [frozenset({1})], 10) is None  # an image that many draws leave out
    assert ratio_interval([frozenset()], [half(100)], 100) is None  # 0 to 0 would be surer than anything can be


def test_the_same_sets_give_the_same_interval():
    sets = [frozenset(range(30)), frozenset(range(10, 35))]
    assert ratio_interval(sets, [half(80)], 80) == ratio_interval(sets[:], [half(80)], 80)
