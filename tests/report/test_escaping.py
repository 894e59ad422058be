import pytest
from hypothesis import given, strategies as st

from robustpeft.report.escaping import escaped


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", "a b"),
        (" two\nlines\t", "two lines"),
        ("<b>&amp;", "&lt;b>&amp;amp;"),
        ("[x](y) | `z` *w* _v_", r"\[x\](y) \| \`z\` \*w\* \_v\_"),
        ("# no heading", r"\# no heading"),
        ("", ""),
    ],
)
def test_markup_becomes_text(text, expected):
    assert escaped(text) == expected


@given(st.text())
def test_the_result_is_one_line_without_a_tag(text):
    assert "\n" not in escaped(text)
    assert "<" not in escaped(text)
