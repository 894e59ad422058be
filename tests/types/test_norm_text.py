import pytest

from robustpeft.errors import UserError
from robustpeft.types import L2, THREATS, Linf, Patch, norm_text, parse_norm, threat_of


@pytest.mark.parametrize(
    "threat", [Linf(0.1), L2(0.5), Patch(1.0), Patch(0.5, share=0.02, row=0.25), Patch(column=1.0)]
)
def test_a_threat_is_read_again_as_it_was_written(threat):
    assert threat_of(norm_text(threat, THREATS), threat.epsilon, THREATS) == threat


def test_what_is_as_by_default_is_not_written():
    assert norm_text(Patch(1.0), THREATS) == "patch"
    assert norm_text(Patch(1.0, share=0.02), THREATS) == "patch:share=0.02"


def test_a_class_of_ones_own_may_have_fields():
    name = f"{Patch.__module__}:Patch"
    assert parse_norm(f"{name}:share=0.2, row=1") == (name, {"share": 0.2, "row": 1.0})
    assert threat_of(f"{name}:share=0.2", 1.0, THREATS) == Patch(1.0, share=0.2)
    assert parse_norm(name) == (name, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("patch:shre=0.2", "has no field 'shre'; did you mean 'share'"),
        ("linf:share=0.2", "linf has none besides epsilon"),
        ("patch:share=big", "share must be a number; got 'big'"),
        ("patch:share=0.1,share=0.2", "expected fields as in"),
        ("patch:share=0.1,", "expected fields as in"),
        ("patch:share=2", "share must be in"),
        ("ptch:share=0.1", "unknown norm 'ptch'; did you mean 'patch'"),
    ],
)
def test_what_is_no_norm_is_refused_in_a_sentence(text, said):
    with pytest.raises(UserError, match=said):
        threat_of(text, 1.0, THREATS)
