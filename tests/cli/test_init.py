"""A folder becomes a recipe that tune takes; nobody who cannot answer is waited for."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from robustpeft.cli import asking as room
from robustpeft.cli.asking import asking
from robustpeft.errors import UserError
from robustpeft.study import read_recipe
from robustpeft.study.photographs import Question

STRICT = ["--hardware", "cpu", "--time", "30m", "--epsilon", "2/255"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    import robustpeft.study.photographs  # noqa: F401  the package's `begin` is the function: take the module

    module = sys.modules["robustpeft.study.photographs.begin"]
    monkeypatch.setattr(module, "seconds_a_pass", lambda backbone, device: 0.01)


def test_a_folder_becomes_a_recipe_and_commands(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("init", "photos", "--yes", *STRICT)
    assert ended.status == 0, ended
    assert read_recipe("photos.yaml").threat.epsilon == 2 / 255
    lines = ended.out.splitlines()
    commands = [line.strip().split()[1] for line in lines[lines.index("next:") + 1 :]]
    assert commands == ["tune", "tune", "audit", "predict"]


def test_what_is_not_asked_is_said(place: Any, type_in: Callable[..., Any]) -> None:
    said = type_in("init", "photos").out
    assert "--epsilon 4/255 (not asked)" in said
    assert "--time 1h (not asked)" in said


@pytest.mark.slow
def test_it_does_not_wait_where_nobody_can_answer(place: Any) -> None:
    read, write = os.pipe()  # an input that never ends and never says anything
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "robustpeft", "init", "photos"],
            stdin=read,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(read)
        os.close(write)
    assert ended.returncode == 0, ended.stderr
    assert Path("photos.yaml").is_file()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--epsilon", "8"], "did you mean 8 / 255"),
        (["--hardware", "tpu"], "unknown hardware 'tpu'"),
        (["--time", "soon"], "1h30m"),
        (["--mistake", "cta"], "did you mean 'cat'"),
        (["--checkpoint", "gone.pth"], "nothing at gone.pth"),
        (["--backbone", "vit_tny"], "vit_tny"),
    ],
)
def test_a_wrong_answer_given_as_an_option_ends_with_status_2_and_leaves_nothing(
    more: list[str], words: str, place: Any, type_in: Callable[..., Any]
) -> None:
    before = sorted(place.path.iterdir())
    ended = type_in("init", "photos", "--yes", *more)
    assert ended.status == 2
    assert words in ended.err
    assert sorted(place.path.iterdir()) == before


def question(read: Callable[[str], Any]) -> Question:
    return Question("How much?", "--much", "1", read)


def test_at_a_terminal_one_is_asked_again_until_the_answer_can_be_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["x", "2"])

    def read(text: str) -> int:
        if text == "x":
            raise UserError("x is no number")
        return int(text)

    monkeypatch.setattr(typer, "prompt", lambda *_args, **_kwargs: next(answers))
    assert room._ask(question(read)) == 2
    assert "that cannot be used: x is no number" in capsys.readouterr().out


def test_somebody_is_asked_only_at_a_terminal_and_only_if_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, silently, expected in (
        (True, False, room._ask),
        (True, True, room._assume),
        (False, False, room._assume),
    ):
        monkeypatch.setattr(sys.stdin, "isatty", lambda terminal=terminal: terminal, raising=False)
        monkeypatch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal, raising=False)
        with asking(silently=silently) as (ask, watch):
            assert ask is expected
            watch(1, 1)
