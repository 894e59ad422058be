import contextlib
import json
from abc import ABC
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pytest
from hypothesis import given, strategies as st

from robustpeft.types import L2, LATER, THREATS, Axis, Linf, Threat, UserError, from_plain, to_plain


@dataclass(frozen=True)
class Shape(ABC):
    corners: ClassVar[int]


@dataclass(frozen=True)
class Circle(Shape):
    corners: ClassVar[int] = 0
    radius: float = 1.0

    def __post_init__(self):
        if self.radius < 0:
            raise UserError(f"radius must be at least 0; got {self.radius}")


@dataclass(frozen=True)
class Square(Shape):
    corners: ClassVar[int] = 4
    side: float
    filled: bool = False
    layers: int = 1
    style: Literal["plain", "dotted"] = "plain"

    def __post_init__(self):
        if self.side < 0:
            raise ValueError("a side below zero")  # as a class of someone else's says it


@dataclass(frozen=True)
class Group(Shape):
    corners: ClassVar[int] = -1
    members: tuple[Shape, ...] = ()
    first: Shape | None = None


@dataclass(frozen=True)
class Options:
    names: tuple[str, ...] = ("a",)
    triple: tuple[float, float, float] | None = None
    weights: bool | str = True
    size: int | None = None


@dataclass(frozen=True)
class Drawing:
    shape: Shape = field(default_factory=Circle)
    threat: Threat = field(default_factory=lambda: Linf(8 / 255))
    options: Options = field(default_factory=Options)
    title: str = ""


SHAPES = {"circle": Circle, "square": Square, "group": Group}
AXES = (Axis(Shape, SHAPES, "shape"), Axis(Threat, THREATS, "threat", tag="norm"))

leaves = st.one_of(
    st.builds(Circle, radius=st.floats(0, 10)),
    st.builds(
        Square,
        side=st.floats(0, 10),
        filled=st.booleans(),
        layers=st.integers(0, 9),
        style=st.sampled_from(["plain", "dotted"]),
    ),
)
shapes = st.recursive(
    leaves,
    lambda inner: st.builds(Group, members=st.lists(inner, max_size=3).map(tuple), first=st.one_of(st.none(), inner)),
    max_leaves=6,
)
options = st.builds(
    Options,
    names=st.lists(st.text(max_size=4), max_size=3).map(tuple),
    triple=st.one_of(st.none(), st.tuples(*[st.floats(-1, 1)] * 3)),
    weights=st.one_of(st.booleans(), st.just("some/path.pth")),
    size=st.one_of(st.none(), st.integers(-5, 500)),
)
drawings = st.builds(
    Drawing,
    shape=shapes,
    threat=st.one_of(st.builds(Linf, st.floats(0, 1)), st.builds(L2, st.floats(0, 9))),
    options=options,
    title=st.text(max_size=5),
)


@given(drawings)
def test_every_value_comes_back_from_json_as_it_was(drawing):
    plain = to_plain(drawing, AXES)
    assert json.loads(json.dumps(plain)) == plain
    assert from_plain(Drawing, json.loads(json.dumps(plain)), AXES) == drawing


def test_a_value_on_an_axis_carries_its_name_first_and_other_values_none():
    plain = to_plain(Drawing(shape=Group((Circle(2.0),))), AXES)
    assert list(plain) == ["shape", "threat", "options", "title"]
    assert plain["shape"] == {"name": "group", "members": [{"name": "circle", "radius": 2.0}], "first": None}
    assert plain["threat"] == {"norm": "linf", "epsilon": 8 / 255}
    assert "name" not in plain["options"]


@dataclass(frozen=True)
class Grown:
    first: int = 1
    second: tuple[int, ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True)
class Derived:
    side: int = 2
    area: int = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "area", self.side**2)


def test_what_a_class_sets_by_itself_is_not_written():
    assert to_plain(Derived(3), AXES) == {"side": 3}
    assert from_plain(Derived, to_plain(Derived(3), AXES), AXES) == Derived(3)


@pytest.mark.parametrize("grown", [Grown(), Grown(2), Grown(second=(3,))])
def test_a_field_that_came_later_is_written_only_where_it_is_not_its_default(grown):
    plain = to_plain(grown, AXES)
    assert plain == {"first": grown.first} | ({"second": [3]} if grown.second else {})
    assert from_plain(Grown, plain, AXES) == grown


def test_what_is_left_out_has_its_default():
    assert from_plain(Drawing, {}, AXES) == Drawing()
    assert from_plain(Drawing, {"options": {"size": 3}}, AXES) == Drawing(options=Options(size=3))


def test_a_value_that_is_one_already_is_taken_as_it_is():
    circle = Circle(3.0)
    assert from_plain(Shape, circle, AXES) is circle
    assert from_plain(Drawing, {"shape": circle}, AXES).shape is circle


def test_a_name_alone_is_the_entry_with_its_defaults():
    assert from_plain(Shape, "circle", AXES) == Circle()
    assert from_plain(Drawing, {"shape": "circle"}, AXES) == Drawing()
    assert from_plain(Group, {"members": ["circle", {"name": "square", "side": 2}]}, AXES) == Group(
        (Circle(), Square(2.0))
    )


def test_none_is_accepted_exactly_where_it_is_allowed():
    assert from_plain(Group, {"first": None}, AXES) == Group()
    with pytest.raises(UserError, match="shape must be a shape"):
        from_plain(Drawing, {"shape": None}, AXES)
    with pytest.raises(UserError, match=r"members must be a list; got None"):
        from_plain(Group, {"members": None}, AXES)


@pytest.mark.parametrize(
    ("text", "number"),
    [("8/255", 8 / 255), (" 8 / 255 ", 8 / 255), ("0.5/1", 0.5), (".5/1.", 0.5), ("1e-1/2", 0.05), ("0.25", 0.25)],
)
def test_a_radius_may_be_written_as_the_field_writes_it(text, number):
    assert from_plain(Threat, {"norm": "linf", "epsilon": text}, AXES) == Linf(number)


def test_fractions_are_read_inside_lists_and_options_too_but_never_in_text():
    assert from_plain(Options, {"triple": ["1/4", 0.5, "3/4"]}, AXES).triple == (0.25, 0.5, 0.75)
    assert from_plain(Options, {"names": ["8/255"]}, AXES).names == ("8/255",)
    assert from_plain(Drawing, {"title": "8/255"}, AXES).title == "8/255"


@pytest.mark.parametrize("text", ["8/0", "8//255", "1..2/3", "8/.", "./8", "-8/255", "8/255/2", "eight", "", "٨/255"])
def test_what_is_no_fraction_is_refused(text):
    with pytest.raises(UserError, match="epsilon must be a valid number"):
        from_plain(Threat, {"norm": "linf", "epsilon": text}, AXES)


@given(st.text(alphabet="0123456789./e- ", max_size=8))
def test_no_text_in_place_of_a_number_is_more_than_a_user_error(text):
    with contextlib.suppress(UserError):
        from_plain(Threat, {"norm": "l2", "epsilon": text}, AXES)


def test_a_class_of_ones_own_is_named_by_module_and_class_both_ways(tmp_path, monkeypatch):
    (tmp_path / "own_shapes.py").write_text(
        "from dataclasses import dataclass\n"
        "from robustpeft.types import Threat, Linf\n"
        "@dataclass(frozen=True)\n"
        "class Mine(Threat):\n"
        "    norm = 'mine'\n    max_epsilon = 1.0\n    extra: int = 3\n"
        "    def project(self, delta): return delta\n"
        "    def ascend(self, gradient): return gradient\n"
        "    def random(self, noise, shape): return noise.uniform(shape)\n"
        "    def within(self, images, candidates): return candidates\n"
        "    def size(self, delta): return delta\n"
        "class Plain: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plain = {"norm": "own_shapes:Mine", "epsilon": "1/4", "extra": 5}
    mine = from_plain(Threat, plain, AXES)
    assert (type(mine).__name__, mine.epsilon, mine.extra) == ("Mine", 0.25, 5)
    assert to_plain(mine, AXES) == plain | {"epsilon": 0.25}
    with pytest.raises(
        UserError, match=r"threat: 'own_shapes:Plain' is not a threat \(a dataclass derived from Threat\)"
    ):
        from_plain(Drawing, {"threat": "own_shapes:Plain"}, AXES)
    with pytest.raises(UserError, match=r"^'own_shapes:Plain' is not a threat"):
        from_plain(Threat, "own_shapes:Plain", AXES)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"shap": "circle"}, r"^unknown key 'shap'; did you mean 'shape'\? Valid: options, shape, threat, title$"),
        ({"options": {"sizes": 3}}, r"unknown key 'options\.sizes'; did you mean 'size'\?"),
        (
            {"shape": {"name": "group", "members": ["circle", {"name": "square", "sid": 1}]}},
            r"'shape\.members\.1\.sid'",
        ),
        ({3: 4}, "unknown key '3'"),
        ({"shape": {"name": "circl"}}, r"unknown shape 'circl'; did you mean 'circle'\?"),
        ({"shape": {"radius": 2}}, r"shape must be a shape: a mapping with 'name', one of circle, square, group; got"),
        ({"shape": {"name": 3}}, "shape must be a shape"),
        ({"shape": ["circle"]}, "shape must be a shape"),
        ({"shape": 7}, "shape must be a shape.*; got 7"),
        ({"threat": {"name": "linf", "epsilon": 0.1}}, "threat must be a threat: a mapping with 'norm'"),
        ({"threat": "linf"}, r"threat: missing 1 required positional argument: 'epsilon'"),
        ({"threat": {"norm": "linf", "epsilon": 8}}, r"threat: epsilon must be in pixel units.*did you mean 8 / 255"),
        ({"threat": {"norm": "linf", "epsilon": [0.1]}}, r"threat\.epsilon must be a valid number; got \[0\.1\]"),
        ({"shape": {"name": "circle", "radius": -1}}, r"shape: radius must be at least 0; got -1"),
        ({"shape": {"name": "square", "side": -1}}, "shape: a side below zero"),
        ({"shape": {"name": "square", "side": 1, "layers": 1.5}}, r"shape\.layers must be a valid integer"),
        (
            {"shape": {"name": "square", "side": 1, "style": "dots"}},
            r"shape\.style must be 'plain' or 'dotted'; got 'dots'",
        ),
        ({"shape": {"name": "square", "side": 1, "layers": True}}, r"shape\.layers must be a number; got True"),
        ({"shape": {"name": "square", "side": False}}, r"shape\.side must be a number; got False"),
        ({"options": {"size": True}}, r"options\.size must be a number; got True"),
        ({"options": {"triple": [1, 2]}}, r"options\.triple must be "),
        ({"options": {"names": 3}}, r"options\.names must be a valid tuple; got 3"),
        ({"options": 3}, "options must be a mapping of fields; got 3"),
        ({"title": 3}, "title must be a valid string; got 3"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(plain, message):
    with pytest.raises(UserError, match=message):
        from_plain(Drawing, plain, AXES)


@pytest.mark.parametrize("plain", [None, 3, "text", []])
def test_what_is_no_mapping_is_refused(plain):
    with pytest.raises(UserError, match="Drawing must be a mapping of fields"):
        from_plain(Drawing, plain, AXES)
    with pytest.raises(UserError, match=r"^(Shape must be a shape|unknown shape 'text')"):
        from_plain(Shape, plain, AXES)
