from collections.abc import Callable
from typing import Any


def test_a_folder_that_is_not_there_is_refused(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("audit", place.run(), "--images", "nowhere", "--device", "cpu")
    assert ended.status == 2
    assert "nowhere is not a folder" in ended.err


def test_options_of_somebody_elses_model_are_not_ignored_in_silence(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("audit", "run", "--images", str(place.photos), "--normalization", "half")
    assert ended.status == 2
    assert "leave the options" in " ".join(ended.err.split())
