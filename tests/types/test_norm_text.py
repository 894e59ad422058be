import dataclasses
from typing import ClassVar, Literal

import pytest

from robustpeft.errors import UserError
from robustpeft.types import L2, THREATS, Linf, Patch, Threat, norm_text, parse_norm, threat_of


@dataclasses.dataclass(frozen=True)
class Grid(Threat):
    """A threat of one's own, with a field of every kind that can be written in a word."""

    norm: ClassVar[str] = "grid"
    max_epsilon: ClassVar[float] = 1.0
    side: int = 3
    word: str = "a"
    on: bool = True
    kind: Literal["one", "two"] = "one"
    maybe: float | None = 0.5
    sides: tuple[int, ...] = ()
    area: int = dataclasses.field(init=False, default=0)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "area", self.side**2)

    ascend = random = within = project = size = None


@pytest.mark.parametrize(
    "threat",
    [
        *(Linf(0.1), L2(0.5), Patch(1.0), Patch(0.5, share=0.02, row=0.25), Patch(column=1.0), Patch(share=1e-5)),
        *(Grid(0.1), Grid(0.1, side=5), Grid(0.1, word="b=:ä c"), Grid(0.1, on=False), Grid(0.1, kind="two")),
        *(Grid(0.1, maybe=None), Grid(0.1, side=2, word="", on=False, kind="two", maybe=1.0)),
    ],
)
def test_a_threat_is_read_again_as_it_was_written(threat):
    assert threat_of(norm_text(threat, THREATS), threat.epsilon, THREATS) == threat


def test_what_is_as_by_default_is_not_written():
    assert norm_text(Patch(1.0), THREATS) == "patch"
    assert norm_text(Patch(1.0, share=0.02), THREATS) == "patch:share=0.02"


def test_a_class_of_ones_own_may_have_fields():
    name = f"{Patch.__module__}:Patch"
    assert parse_norm(f"{name}:share=0.2, row=1, column=None") == (name, {"share": "0.2", "row": "1", "column": None})
    assert threat_of(f"{name}:share=0.2", 1.0, THREATS) == Patch(1.0, share=0.2)
    assert parse_norm(name) == (name, {})


def test_a_field_may_be_a_fraction_as_epsilon_may():
    assert threat_of("patch:share=1/20,row=0.2", 1.0, THREATS) == Patch(1.0, share=0.05, row=0.2)


@pytest.mark.parametrize("threat", [Grid(0.1, word="a,b"), Grid(0.1, word=" a"), Grid(0.1, sides=(1, 2))])
def test_what_cannot_be_written_so_that_it_is_read_again_is_refused(threat):
    with pytest.raises(UserError, match=r"^grid 0\.1 .* cannot be written as a norm: "):
        norm_text(threat, THREATS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("patch:shre=0.2", "has no field 'shre'; did you mean 'share'"),
        ("linf:share=0.2", "linf has none besides epsilon"),
        ("patch:share=big", r"norm 'patch:share=big': share must be a valid number.*; got 'big'"),
        (f"{__name__}:Grid:side=2.5", r"side must be a valid integer.*; got '2\.5'"),
        (f"{__name__}:Grid:on=5", r"on must be a valid boolean.*; got '5'"),
        (f"{__name__}:Grid:area=4", "Grid has no field 'area'"),
        ("patch:share=0.1,share=0.2", "expected fields as in"),
        ("patch:share=0.1,", "expected fields as in"),
        ("patch:share=2", "share must be in"),
        ("ptch:share=0.1", "unknown norm 'ptch'; did you mean 'patch'"),
    ],
)
def test_what_is_no_norm_is_refused_in_a_sentence(text, said):
    with pytest.raises(UserError, match=said):
        threat_of(text, 1.0, THREATS)
