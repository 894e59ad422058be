from collections.abc import Callable
from typing import Any

STUDY = "base: tiny.yaml\naxes: {method: [{name: lora, r: 1}]}\n"


def test_what_is_here_is_told(place: Any, type_in: Callable[..., Any]) -> None:
    told = type_in("fetch", place.write("mine.yaml", STUDY), "--check")
    assert (told.status, told.out.splitlines()[-1]) == (0, "all 1 are here")
    assert told.out.startswith("here: the folder ")


def test_what_is_missing_ends_with_two(place: Any, type_in: Callable[..., Any]) -> None:
    told = type_in("fetch", place.write("mine.yaml", STUDY), "--check", "--set", "data.path=nowhere")
    assert (told.status, told.err) == (2, "1 of 1 are missing\n")
    assert "missing: the folder nowhere (there is no directory nowhere)\n    --set data.path=FOLDER\n" in told.out


def test_a_study_on_the_digits_needs_nothing(type_in: Callable[..., Any]) -> None:
    told = type_in("fetch", "fulllora")
    assert (told.status, told.out) == (0, "everything comes with the package\n")
