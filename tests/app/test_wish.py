import pytest

from robustpeft.app.choices import Question
from robustpeft.app.wish import Picked, picked_from, read_wish
from robustpeft.errors import UserError

CONTROLS = {
    "kind": "attack",
    "attack": "pgd",
    "norm": "linf",
    "epsilon": 8,
    "steps": 20,
    "perturbation": "patch_drop",
    "strength": 0.3,
    "corruption": "fog",
    "severity": 3,
    "seed": 0,
}


def question(**changes):
    return read_wish("family", ["a", "b"], Picked(), CONTROLS | changes).question


def test_controls_become_a_question_in_the_units_of_the_library():
    assert question() == Question("attack", "pgd", 8 / 255, "linf", 20, 0)
    assert question(norm="l2", epsilon=0.5, seed=3.0) == Question("attack", "pgd", 0.5, "l2", 20, 3)
    assert question(kind="perturbation") == Question("perturbation", "patch_drop", 0.3)
    assert question(kind="corruption") == Question("corruption", "fog", 3)


def test_controls_of_other_kinds_do_not_matter():
    assert question(kind="corruption", epsilon=None, steps="x", strength=None) == Question("corruption", "fog", 3)


@pytest.mark.parametrize("value", [None, "8", True, float("nan"), float("inf"), [8]])
def test_a_missing_number_is_said(value):
    with pytest.raises(UserError, match=r"Epsilon in 255ths.*: a number is missing"):
        question(epsilon=value)


def test_half_a_step_is_refused():
    with pytest.raises(UserError, match=r"the number of steps must be a whole number; got 2\.5"):
        question(steps=2.5)


def test_labels_that_are_no_list_are_none():
    assert read_wish("family", "undefended", Picked(), CONTROLS).labels == ()
    assert read_wish("family", None, Picked(), CONTROLS).labels == ()


def test_an_example_is_named_and_found_again():
    picked = Picked(page=3, place=11)
    assert picked_from(picked.name) == picked
    assert Picked(token="abc").name == ""


@pytest.mark.parametrize(
    "name", ["", None, 3, "example/1", "example/-1/0", "example/1/2/3", "../../etc", "example/1/9999"]
)
def test_other_names_name_none(name):
    with pytest.raises(UserError, match="choose one of the images"):
        picked_from(name)
