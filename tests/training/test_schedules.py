import math
from dataclasses import dataclass, field

import pytest

from robustpeft.attacks import PGD
from robustpeft.errors import UserError
from robustpeft.objectives import Natural, Objective, PgdAt
from robustpeft.training.schedules import AttackRamp, EpsilonRamp, rate_factor, with_attack_steps


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


def rate(step, steps=100, shape="cosine", warmup=0.0, drops=()):
    return rate_factor(step, steps, shape=shape, warmup=warmup, drops=drops)


def test_the_rate_is_its_shape_after_warm_up():
    assert [rate(s, shape="linear") for s in (0, 25, 99)] == pytest.approx([1.0, 0.75, 0.01])
    assert [rate(s, shape="constant") for s in (0, 25, 99)] == [1.0, 1.0, 1.0]
    assert rate(30) == pytest.approx(0.5 * (1 + math.cos(0.3 * math.pi)))


def test_the_rate_rises_linearly_and_no_step_is_lost():
    assert [rate(s, shape="constant", warmup=0.04) for s in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rate(0, steps=10, shape="constant", warmup=0.05) == 1.0  # a warm-up of less than a step


def test_each_drop_is_a_tenth_from_its_step_on():
    rates = [rate(s, steps=40, shape="constant", drops=(35 / 40, 38 / 40)) for s in (34, 35, 37, 38, 39)]
    assert rates == pytest.approx([1.0, 0.1, 0.1, 0.01, 0.01])


def test_the_attack_grows_to_its_own_steps():
    ramp = AttackRamp(first=2, end=0.5)
    assert [ramp.steps(10, p) for p in (0.0, 0.05, 0.25, 0.49, 0.5, 1.0)] == [2, 2, 6, 9, 10, 10]
    assert AttackRamp(first=4, end=1.0).steps(3, 0.0) == 3
    assert AttackRamp(first=1, end=0.0).steps(5, 0.0) == 5


@pytest.mark.parametrize("fields", [{"first": 0}, {"end": 1.2}, {"end": -0.1}])
def test_an_attack_ramp_that_means_nothing_is_refused(fields):
    with pytest.raises(UserError, match="attack ramp"):
        AttackRamp(**fields)


@dataclass(frozen=True)
class Wrapped(Objective):
    adversarial = True
    inner: Objective = field(default_factory=lambda: PgdAt(PGD(steps=8, keep="last")))

    def prepare(self, model, lesson, moment):
        raise NotImplementedError

    def loss(self, model, lesson):
        raise NotImplementedError


def test_the_steps_change_also_within_an_objective_around_another():
    changed = with_attack_steps(Wrapped(), AttackRamp(first=1, end=1.0), 0.5)
    assert changed == Wrapped(PgdAt(PGD(steps=4, keep="last")))


def test_an_objective_without_steps_is_told():
    with pytest.raises(UserError, match="holds no attack with steps"):
        with_attack_steps(Natural(), AttackRamp(), 0.0)
