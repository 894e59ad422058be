from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STUDY = """
base: tiny.yaml
set: {training.epochs: 1, training.selection_images: 4}
axes: {method: [{name: lora, r: 1}, {name: lora, r: 2}]}
select: {training.learning_rate: [1.0e-3, 1.0e-2]}
seeds: [1]
audit: {epsilons: [0.1], attacks: [{name: fgsm}], perturbations: [], images: 4, gallery: 0}
"""


@pytest.fixture
def mine(place: Any) -> str:
    return str(place.write("mine.yaml", STUDY))


def test_a_study_runs_reports_and_does_nothing_twice(mine: str, place: Any, type_in: Callable[..., Any]) -> None:
    asked = type_in("study", mine, "--device", "cpu")
    assert (asked.status, asked.out.splitlines()[-1]) == (0, "report: runs/mine/report/report.md")
    assert "6 of 6 done: lora r=2, learning_rate" in asked.err
    assert len(list((place.path / "runs" / "store").iterdir())) == 6
    again = type_in("study", mine, "--device", "cpu")
    assert (again.status, again.err) == (0, "")
    shown = type_in("study", "status", mine)
    assert "6 of 6 experiments done" in shown.out
    Path("runs/mine/report/report.md").unlink()
    assert type_in("study", "report", mine).out == "report: runs/mine/report/report.md\n"
    assert type_in("study", "clean", mine).out == "0 B freed\n"


def test_what_it_would_cost_is_told_and_nothing_is_run(mine: str, type_in: Callable[..., Any]) -> None:
    asked = type_in("study", mine, "--dry-run", "--device", "cpu")
    assert "6 experiments," in asked.out
    assert asked.out.endswith("this was an estimate: nothing was run\n")
    assert not Path("runs").exists()


def test_what_failed_is_told_and_tried_again(mine: str, type_in: Callable[..., Any]) -> None:
    bad = ("--set", "data.path=nowhere", "--output", "bad", "--device", "cpu")
    asked = type_in("study", mine, *bad)
    assert asked.status == 0
    assert "1 of 6 failed: lora r=1, learning_rate 0.001, seed 0: " in asked.err
    assert "nowhere" in asked.err
    assert "no trial came to a result for lora r=1; lora r=2" in Path("bad/mine/report/report.md").read_text()
    again = type_in("study", "retry", mine, *bad)
    assert again.out.startswith("4 failed experiments are tried again\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("x", "--set", "a=1", "b=2", "c=3"),
            "b=2 has no --set before it; every setting has one of its own: --set b=2",
        ),
        (("stauts", "x"), "unknown action 'stauts'; did you mean 'status'"),
        (("a", "b", "c"), "got 3 words"),
        (("nowhere.yaml",), "no study 'nowhere.yaml'"),
    ],
)
def test_what_cannot_be_used_is_told(words: tuple[str, ...], said: str, type_in: Callable[..., Any]) -> None:
    ended = type_in("study", *words)
    assert ended.status == 2
    assert said in ended.err


def test_ctrl_c_says_how_to_go_on(mine: str, monkeypatch: pytest.MonkeyPatch, type_in: Callable[..., Any]) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("robustpeft.study.grid.run_study", interrupt)
    ended = type_in("study", mine, "--workers", 2, "--set", "seed=3")
    assert ended.status == 130
    assert f"robustpeft study {mine} --output runs --workers 2 --set seed=3" in ended.err
