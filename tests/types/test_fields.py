import dataclasses
import math
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
import torch

from robustpeft.errors import UserError
from robustpeft.types import COUNT, Interval, check_fields


@dataclasses.dataclass(frozen=True)
class Value:
    count: int = 1
    share: float = 0.5
    flag: bool = False
    word: str = "a"
    kind: Literal["one", "two"] = "one"
    maybe: float | None = None
    either: int | str = 1
    anything: object = None

    def __post_init__(self):
        check_fields(self, count=COUNT, share=Interval(0, 1, "[)"), maybe=Interval(0, ends="()", note=", in metres"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": 2.5}, r"^count must be a whole number; got 2\.5$"),
        ({"count": 2.0}, r"^count must be a whole number; got 2\.0$"),
        ({"count": "10"}, r"^count must be a whole number; got '10'$"),
        ({"count": True}, r"^count must be a whole number; got True$"),
        ({"count": None}, r"^count must be a whole number; got None$"),
        ({"count": torch.tensor([3])}, r"^count must be a whole number; got tensor\(\[3\]\)$"),
        ({"count": torch.tensor(2.0)}, r"^count must be a whole number; got 2\.0$"),
        ({"flag": np.int64(1)}, r"^flag must be True or False; got 1$"),
        ({"count": [3]}, r"^count must be a whole number; got \[3\]$"),
        ({"count": 0}, r"^count must be at least 1; got 0$"),
        ({"count": -(10**30)}, r"^count must be at least 1; got -1e\+30$"),
        ({"share": "0.5"}, r"^share must be a number; got '0\.5'$"),
        ({"share": False}, r"^share must be a number; got False$"),
        ({"share": 1j}, r"^share must be a number; got 1j$"),
        ({"share": math.nan}, r"^share must be a finite number; got nan$"),
        ({"share": -math.inf}, r"^share must be a finite number; got -inf$"),
        ({"share": 10**400}, r"^share must be a finite number; got 1000"),
        ({"share": np.float32("nan")}, r"^share must be a finite number"),
        ({"share": 1}, r"^share must be in \[0, 1\); got 1$"),
        ({"maybe": 0.0}, r"^maybe must be above 0, in metres; got 0$"),
        ({"flag": 1}, r"^flag must be True or False; got 1$"),
        ({"word": b"a"}, r"^word must be text; got b'a'$"),
        ({"kind": "three"}, r"^kind must be 'one' or 'two'; got 'three'$"),
        ({"kind": ["one"]}, r"^kind must be 'one' or 'two'; got \['one'\]$"),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_given(fields, message):
    with pytest.raises(UserError, match=message):
        Value(**fields)


def test_what_fits_stays_as_it_is():
    given = {"count": 7, "share": 0, "flag": True, "word": "ä", "kind": "two", "maybe": 2.0, "either": "x"}
    assert dataclasses.asdict(Value(**given, anything=given)) == given | {"anything": given}
    assert type(Value(share=0).share) is int


def test_numbers_of_other_kinds_become_pythons():
    value = Value(count=np.int64(7), share=np.float32(0.25), maybe=Fraction(1, 2))
    assert [type(value.count), type(value.share), type(value.maybe)] == [int, float, float]
    assert (value.count, value.share, value.maybe) == (7, 0.25, 0.5)
    assert Value(share=np.float64(0.5)) == Value(share=0.5)


def test_what_numpy_and_pytorch_hold_as_one_value_becomes_pythons():
    value = Value(torch.tensor(7), torch.tensor(0.25), np.True_, np.str_("ä"), np.str_("two"), np.array(0.5))
    assert value == Value(7, 0.25, True, "ä", "two", 0.5)
    kinds = [type(getattr(value, field.name)) for field in dataclasses.fields(value)]
    assert kinds[:6] == [int, float, bool, str, str, float]


def test_only_a_number_with_a_range_must_be_finite():
    @dataclasses.dataclass(frozen=True)
    class Capped(Value):
        cap: float = math.inf

    assert Capped().cap == math.inf
    assert Capped(cap=-math.inf).cap == -math.inf
    for number in (math.nan, np.float32("nan"), 10**400):
        with pytest.raises(UserError, match=r"^cap must be a number; got (nan|1000)"):
            Capped(cap=number)
    with pytest.raises(UserError, match=r"^share must be a finite number; got inf$"):
        Capped(share=math.inf)


def test_a_field_that_the_class_sets_itself_afterwards_is_left_alone():
    @dataclasses.dataclass(frozen=True)
    class Derived(Value):
        twice: int = dataclasses.field(init=False)

        def __post_init__(self):
            super().__post_init__()
            object.__setattr__(self, "twice", 2 * self.count)

    assert Derived(count=3).twice == 6
    with pytest.raises(UserError, match=r"^count must be a whole number"):
        Derived(count=2.5)


@pytest.mark.parametrize(
    ("interval", "inside", "outside", "words"),
    [
        (Interval(0, 1), (0, 0.5, 1), (-1e-9, 1.1, math.nan), "in [0, 1]"),
        (Interval(0, 1, "()"), (1e-300,), (0, 1), "in (0, 1)"),
        (Interval(1, 2, "[)", ": half open"), (1, 1.99), (2, 0.99), "in [1, 2): half open"),
        (Interval(2), (2, 1e30, math.inf), (1.9, math.nan), "at least 2"),
        (Interval(0, ends="()"), (1e-300,), (0, -1, math.inf), "above 0"),
    ],
)
def test_an_interval_knows_its_ends_and_says_them(interval, inside, outside, words):
    assert all(number in interval for number in inside)
    assert not any(number in interval for number in outside)
    assert str(interval) == words


@pytest.mark.parametrize("annotation", ["Nowhere", "int.nothing", "'in pixel units'", "1 / 0"])
def test_a_class_whose_annotations_cannot_be_read_is_left_alone(annotation):
    namespace = {}
    source = (
        "from __future__ import annotations\nimport dataclasses\n"
        f"@dataclasses.dataclass\nclass Own:\n    hidden: {annotation}\n    count: int = 1\n"
    )
    exec(source, namespace)
    check_fields(namespace["Own"](hidden=3, count="text"))
