import pytest

from robustpeft.errors import UserError
from robustpeft.training import EpsilonRamp, Phase, TrainingPlan


def test_the_main_phase_comes_last_with_the_ramp_of_the_plan():
    plan = TrainingPlan(epochs=3, before=(Phase(epochs=2),), epsilon_ramp=EpsilonRamp(0.1, 0.2))
    assert [(p.epochs, p.trains, p.title) for p in plan.phases()] == [(2, "head", "head"), (3, "all", "tuning")]
    assert [p.epsilon_ramp for p in plan.phases()] == [EpsilonRamp(0, 0), EpsilonRamp(0.1, 0.2)]
    assert plan.all_epochs == 5


def test_the_plan_passes_its_schedule_on():
    plan = TrainingPlan(warmup=0.1, schedule="linear", drops=(0.5,))
    assert plan.rate_factor(0, 100) == pytest.approx(0.1)
    assert plan.rate_factor(60, 100) == pytest.approx(0.4 * 0.1)


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
        ("schedule", "sawtooth"),
        ("precision", "fp8"),
        ("micro_batch_size", 0),
        ("patience", 0),
        ("norm_rate", 0.0),
        ("drops", (1.5,)),
    ],
)
def test_values_that_mean_nothing_are_refused_by_name(field, value):
    with pytest.raises(UserError, match=field):
        TrainingPlan(**{field: value})
