from hypothesis import given, strategies as st

from robustpeft.errors import one_line, printable


@given(st.text())
def test_one_line_is_one_and_printable_and_short(text):
    shown = one_line(text, 50)
    assert shown.isprintable()
    assert len(shown) <= 50


@given(st.text())
def test_what_is_printable_already_is_not_touched(text):
    kept = "".join(letter for letter in text if letter.isprintable())
    assert printable(kept) == kept
    assert one_line(kept, 10**6) == kept


def test_a_terminal_is_told_nothing():
    assert printable("a\x1b[2J\x07\r\x9bb\tc\nd\u202e") == "a?[2J???b\tc\nd?"
