from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustpeft.study import read_recipe


@pytest.mark.parametrize(
    ("destination", "written"),
    [((), "lora-digits.yaml"), (("mine.yaml",), "mine.yaml"), (("folder",), "folder/lora-digits.yaml")],
)
def test_a_copy_says_the_same_and_is_named(
    destination: tuple[str, ...],
    written: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    type_in: Callable[..., Any],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    ended = type_in("copy", "lora-digits", *destination)
    assert ended.out.splitlines() == [f"recipe: {written}", f"next: robustpeft tune {written}"]
    assert read_recipe(written) == read_recipe("lora-digits")
