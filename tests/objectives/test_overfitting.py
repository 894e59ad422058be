import pytest

from robustpeft.objectives import Look, catastrophic

GOOD = [Look(1, 0.30, 0.25), Look(2, 0.40, 0.36), Look(3, 0.45, 0.40)]


def test_a_collapse_behind_a_rising_curve_is_said():
    said = catastrophic([*GOOD, Look(4, 0.80, 0.01)])
    assert said is not None
    assert said.startswith("catastrophic overfitting: from epoch 3 to 4 robust accuracy on the validation images fell")
    assert "from 40.0% to 1.0%" in said
    assert "(45.0% to 80.0%)" in said
    assert "the weights of epoch 3 are kept" in said


@pytest.mark.parametrize(
    ("now", "spoken"),
    [
        (Look(4, 0.46, 0.19), True),
        (Look(4, 0.46, 0.20), False),  # half is not yet lost
        (Look(4, 0.45, 0.00), False),  # everything fell: the threat grew, or the rate was too high
        (Look(4, 0.30, 0.00), False),
        (Look(4, 0.99, 0.50), False),
    ],
)
def test_it_takes_both_a_fall_and_a_rise(now, spoken):
    assert (catastrophic([*GOOD, now]) is not None) is spoken


def test_it_can_be_over():
    fallen = [*GOOD, Look(4, 0.80, 0.01)]
    assert catastrophic(fallen) is not None
    assert catastrophic([*fallen, Look(5, 0.50, 0.42)]) is None


def test_what_was_never_robust_cannot_lose_it():
    assert catastrophic([Look(1, 0.2, 0.049), Look(2, 0.9, 0.0)]) is None
    assert catastrophic([Look(1, 0.2, 0.05), Look(2, 0.9, 0.0)]) is not None


def test_a_first_look_or_none_says_nothing():
    assert catastrophic([]) is None
    assert catastrophic([Look(1, 0.9, 0.0)]) is None
