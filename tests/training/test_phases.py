import pytest

from robustpeft.errors import UserError
from robustpeft.training import EpsilonRamp, Phase


def test_the_default_is_the_head_alone_at_the_full_epsilon():
    assert (Phase().trains, Phase().objective, Phase().epsilon_ramp) == ("head", "same", EpsilonRamp(0, 0))


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({}, "head"),
        ({"objective": "natural"}, "natural head"),
        ({"objective": "natural", "trains": "all"}, "natural"),
        ({"trains": "all"}, "tuning"),
    ],
)
def test_a_phase_has_a_name(fields, title):
    assert Phase(**fields).title == title


@pytest.mark.parametrize(
    "fields", [{"epochs": 0}, {"trains": "body"}, {"objective": "x"}, {"optimizer": "x"}, {"learning_rate": 0.0}]
)
def test_values_that_mean_nothing_are_refused_by_name(fields):
    with pytest.raises(UserError, match=next(iter(fields))[:5]):
        Phase(**fields)
