import subprocess
import sys

import pytest
from hypothesis import given, strategies as st

from robustpeft.errors import UserError, nearest_hint, one_line, printable


def test_a_user_error_is_a_value_error_so_that_plain_python_catches_it():
    assert issubclass(UserError, ValueError)


@pytest.mark.parametrize("given", ["fulllora", "FullLora", "full_lora", "fullora"])
def test_the_nearest_word_is_named_whatever_its_case(given):
    assert nearest_hint(given, ["lora", "FullLoRA", "bias"]).startswith("did you mean 'FullLoRA'?")


def test_all_valid_words_are_listed_in_order():
    assert nearest_hint("lorra", iter(["lora", "full"])) == "did you mean 'lora'? Valid: full, lora"


def test_nothing_is_guessed_when_nothing_is_near():
    assert nearest_hint("zzz", ["lora", "full"]) == "Valid: full, lora"


def test_an_empty_choice_says_so():
    assert nearest_hint("lora", []) == "Valid: nothing"


def test_errors_and_the_root_package_need_no_torch():
    code = "import sys, robustpeft, robustpeft.errors; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
