import math

import pytest

from robustpeft.errors import UserError
from robustpeft.training import EpsilonRamp, TrainingPlan


def test_the_ramp_is_zero_then_linear_then_full():
    ramp = EpsilonRamp(start=0.2, end=0.6)
    assert [ramp.factor(t) for t in (0.0, 0.1, 0.199)] == [0.0, 0.0, 0.0]
    assert ramp.factor(0.4) == pytest.approx(0.5)
    assert ramp.factor(0.3) == pytest.approx(0.25)
    assert [ramp.factor(t) for t in (0.6, 0.8, 1.0)] == [1.0, 1.0, 1.0]


def test_a_ramp_of_no_length_is_the_full_epsilon_from_the_first_step():
    assert EpsilonRamp(start=0.0, end=0.0).factor(0.0) == 1.0


@pytest.mark.parametrize(("start", "end"), [(-0.1, 0.5), (0.6, 0.5), (0.0, 1.1)])
def test_a_ramp_outside_the_run_is_refused(start, end):
    with pytest.raises(UserError, match="epsilon ramp"):
        EpsilonRamp(start, end)


def test_the_rate_rises_linearly_on_top_of_a_cosine_that_ends_at_zero():
    plan = TrainingPlan(warmup=0.1)
    assert plan.rate_factor(0.0) == 0.0
    assert plan.rate_factor(0.05) == pytest.approx(0.5 * 0.5 * (1 + math.cos(0.05 * math.pi)))
    assert plan.rate_factor(0.5) == pytest.approx(0.5)
    assert plan.rate_factor(1.0) == pytest.approx(0.0)
    assert TrainingPlan(warmup=0.0).rate_factor(0.0) == 1.0


@pytest.mark.parametrize(("epochs", "validations"), [(30, 10), (7, 3), (5, 5), (3, 10), (1, 1), (10, 1)])
def test_validations_are_as_many_as_asked_and_include_the_last_epoch(epochs, validations):
    plan = TrainingPlan(epochs=epochs, validations=validations)
    chosen = [e for e in range(1, epochs + 1) if plan.validates_after(e)]
    assert len(chosen) == min(epochs, validations)
    assert chosen[-1] == epochs
    gaps = [b - a for a, b in zip([0, *chosen], chosen, strict=False)]
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("warmup", 2.0),
        ("averaging", 1.0),
        ("optimizer", "lamb"),
    ],
)
def test_values_that_mean_nothing_are_refused_by_name(field, value):
    with pytest.raises(UserError, match=field):
        TrainingPlan(**{field: value})
