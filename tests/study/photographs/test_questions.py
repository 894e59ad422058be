import pytest

from robustpeft.errors import UserError
from robustpeft.study.photographs.questions import (
    Mistake,
    epsilon_of,
    existing,
    hardware_of,
    minutes_of,
    mistakes_of,
)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("45", 45), ("30m", 30), ("30min", 30), ("1h", 60), ("1h30m", 90), ("1h30", 90), ("1.5h", 90), (" 2D ", 2880)],
)
def test_times_are_minutes(text, minutes):
    assert minutes_of(text) == minutes


@pytest.mark.parametrize("text", ["", "0", "0h", "soon", "-5", "1h30x", "m", "1e9", "9" * 400, "٣"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UserError):
        minutes_of(text)


def test_epsilon_is_a_fraction_or_a_number():
    assert epsilon_of("4/255") == epsilon_of(" 4 / 255 ") == 4 / 255
    assert epsilon_of("0.016") == 0.016


@pytest.mark.parametrize(("text", "word"), [("8", "8 / 255"), ("0", "above 0"), ("-1/255", "above 0"), ("x", "4/255")])
def test_other_epsilons_are_refused(text, word):
    with pytest.raises(UserError, match=word):
        epsilon_of(text)


@pytest.mark.parametrize("text", ["1/0", "nan", "inf", "1e999", "4/255/2", "__import__('os')"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(UserError):
        epsilon_of(text)


def test_mistakes_are_classes_or_pairs_and_a_class_may_hold_a_colon():
    classes = ("stop", "yield", "speed: 50")
    assert mistakes_of(["stop"], classes) == (Mistake("stop"),)
    assert mistakes_of(["stop:yield", "stop : yield"], classes) == (Mistake("stop", "yield"),)
    assert mistakes_of(["speed: 50"], classes) == (Mistake("speed: 50"),)
    assert mistakes_of(["speed: 50:stop", ""], classes) == (Mistake("speed: 50", "stop"),)


@pytest.mark.parametrize(
    ("text", "word"), [("stopp", "did you mean 'stop'"), ("stop:x", "'x'"), ("stop:stop", "itself")]
)
def test_unknown_classes_are_refused_with_the_nearest(text, word):
    with pytest.raises(UserError, match=word):
        mistakes_of([text], ("stop", "yield"))


def test_hardware_is_one_of_four():
    assert hardware_of(" CPU ") == "cpu"
    with pytest.raises(UserError, match="did you mean 'cuda'"):
        hardware_of("cude")


def test_a_checkpoint_must_be_there(tmp_path):
    assert existing("") is None
    assert existing(str(tmp_path)) == str(tmp_path.resolve())
    with pytest.raises(UserError, match="nothing at"):
        existing(str(tmp_path / "gone"))
