import math

import pytest
from hypothesis import given, strategies as st

from robustpeft.records import Rate

rates = st.integers(0, 5000).flatmap(lambda n: st.integers(0, n).map(lambda count: Rate(count, n)))


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilsons_as_published(count, n, low, high):
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3."""
    assert Rate(count, n).interval() == pytest.approx((low, high), abs=5e-5)


def test_nothing_of_n_has_the_closed_form_upper_end():
    z2 = 1.959963984540054**2
    assert Rate(0, 50).interval() == pytest.approx((0.0, z2 / (50 + z2)))


@given(rates)
def test_the_interval_holds_the_share_and_stays_in_the_unit_interval(rate):
    low, high = rate.interval()
    assert 0 <= low <= high <= 1
    if rate.n:
        assert low <= rate.fraction <= high


@given(rates)
def test_successes_and_failures_have_mirrored_intervals(rate):
    low, high = rate.interval()
    assert Rate(rate.n - rate.count, rate.n).interval() == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(rates.filter(lambda rate: rate.n))
def test_the_ends_solve_wilsons_equation(rate):
    for end in rate.interval():  # the shares whose own standard error puts the observation at 1.96
        deviation = abs(rate.fraction - end)
        if 0 < end < 1:
            assert deviation == pytest.approx(1.959963984540054 * math.sqrt(end * (1 - end) / rate.n), rel=1e-6)
        else:
            assert deviation == 0


@given(rates.filter(lambda rate: rate.count < rate.n))
def test_one_more_success_moves_both_ends_up(rate):
    low, high = rate.interval()
    more_low, more_high = Rate(rate.count + 1, rate.n).interval()
    assert low < more_low
    assert high < more_high or high == more_high == 1


@given(rates.filter(lambda rate: rate.n))
def test_ten_times_the_images_make_a_narrower_interval(rate):
    low, high = rate.interval()
    many_low, many_high = Rate(10 * rate.count, 10 * rate.n).interval()
    assert many_high - many_low < high - low


def test_nothing_is_known_of_no_images():
    assert math.isnan(Rate(0, 0).fraction)
    assert Rate(0, 0).interval() == (0.0, 1.0)


@pytest.mark.parametrize(("count", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_a_count_outside_0_to_n_is_refused(count, n):
    with pytest.raises(ValueError, match=f"0 <= count <= n; got {count} of {n}"):
        Rate(count, n)
