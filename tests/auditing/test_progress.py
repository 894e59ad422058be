import pytest

from robustpeft.attacks import FGSM, PGD, Square
from robustpeft.auditing import AuditPlan
from robustpeft.auditing.conditions import conditions_of
from robustpeft.auditing.progress import Pace
from robustpeft.perturbations import GaussianNoise


@pytest.fixture
def told():
    return []


@pytest.fixture
def pace_and_conditions(told):
    plan = AuditPlan(epsilons=(0.1, 0.2), attacks=(FGSM(), PGD(steps=2)), perturbations=(GaussianNoise(0.1),))
    conditions = conditions_of(plan, (8, 8))
    return Pace(conditions, 10, told.append), conditions


def test_the_observer_learns_where_the_audit_stands(pace_and_conditions, told):
    pace, (clean, fgsm, *_) = pace_and_conditions
    pace.tell(clean, 10, 9, 1.0)
    pace.tell(fgsm, 4, 1, 1.0)
    now = told[-1]
    assert (now.key, now.kind, now.epsilon) == ("fgsm@linf:0.1", "attack", 0.1)
    assert (now.measurement, now.measurements, now.images_done, now.images) == (2, 6, 4, 10)
    assert (now.clean_accuracy, now.accuracy) == (0.9, 0.25)


def test_the_time_left_is_known_once_every_attack_was_timed(pace_and_conditions, told):
    pace, (clean, fgsm, fgsm2, pgd, *_) = pace_and_conditions
    for condition, seconds in ((clean, 1.0), (fgsm, 2.0), (fgsm2, 2.0)):
        pace.tell(condition, 10, 5, seconds)
    assert all(progress.seconds_left is None for progress in told)
    pace.tell(pgd, 5, 2, 20.0)  # 4 s an image: 5 more here, 10 at the second epsilon, 10 perturbed ones at 0.1 s
    assert told[-1].seconds_left == pytest.approx(5 * 4 + 10 * 4 + 10 * 0.1)


def test_nothing_is_left_at_the_end(pace_and_conditions, told):
    pace, conditions = pace_and_conditions
    for condition in conditions:
        pace.tell(condition, 10, 5, 1.0)
    assert told[-1].seconds_left == 0


def test_nobody_needs_to_listen():
    (clean,) = conditions_of(AuditPlan(epsilons=(), attacks=(), perturbations=()), (8, 8))
    Pace((clean,), 10, None).tell(clean, 10, 5, 1.0)


def test_a_search_that_was_put_to_a_part_of_the_images_has_their_number(told):
    plan = AuditPlan(epsilons=(0.1,), attacks=(FGSM(),), perturbations=(), black_box=(Square(queries=9),))
    clean, fgsm, square = conditions_of(plan, (8, 8))
    pace = Pace((clean, fgsm, square), 10, told.append, asked=4)
    assert [pace.images_of(condition) for condition in (clean, fgsm, square)] == [10, 10, 4]
    pace.tell(square, 1, 1, 3.0)
    pace.tell(fgsm, 10, 5, 1.0)
    assert told[-1].seconds_left == pytest.approx(4 * 3.0)
    pace.tell(square, 3, 1, 9.0)
    now = told[-1]
    assert (now.images_done, now.images, now.accuracy, now.seconds_left) == (3, 4, 1 / 3, pytest.approx(3.0))
    assert Pace((square,), 3, None, asked=4).images_of(square) == 3
