"""Progress in words, in lines and in bars."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from robustpeft.cli.progress import reporting
from robustpeft.cli.progress_bars import BarReporter
from robustpeft.cli.progress_lines import LineReporter
from robustpeft.cli.progress_text import audit_text, bytes_text, time_text, tuning_text
from robustpeft.training import Progress


def tuned(**changes: Any) -> Progress:
    fields: dict[str, Any] = {"step": 5, "steps": 30, "epoch": 1, "epochs": 3, "loss": 1.2034, "epsilon": 8 / 255}
    fields |= {"clean_accuracy": None, "robust_accuracy": None, "images_per_second": 1234.5, "seconds_left": 75.0}
    return Progress(**(fields | changes))


def audited(**changes: Any) -> Any:
    fields = {"key": "pgd@linf:0.1", "kind": "attack", "epsilon": 0.1, "measurement": 2, "measurements": 4}
    fields |= {"images_done": 50, "images": 100, "clean_accuracy": 0.95, "accuracy": 0.342, "seconds_left": None}
    return SimpleNamespace(**(fields | changes))


def test_accuracies_are_left_out_before_they_are_known() -> None:
    assert tuning_text(tuned()) == "epoch 1/3, loss 1.203, epsilon 8/255, 1,234 images/s"
    known = tuned(clean_accuracy=0.95, robust_accuracy=0.0)
    assert tuning_text(known) == "epoch 1/3, loss 1.203, epsilon 8/255, clean 95.0 %, robust 0.0 %, 1,234 images/s"


def test_an_audit_names_its_measurement() -> None:
    assert audit_text(audited()) == "pgd@linf:0.1 (2 of 4), right 34.2 %, clean 95.0 %"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00"), (75, "1:15"), (3599.7, "1:00:00"), (3723, "1:02:03"), (None, "?"), (float("inf"), "?")],
)
def test_time_reads_as_on_a_clock(seconds: float | None, text: str) -> None:
    assert time_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1500, "1.5 kB"), (12_345_678, "12 MB"), (999_600, "1 MB")],
)
def test_bytes_read_in_powers_of_a_thousand(count: int, text: str) -> None:
    assert bytes_text(count) == text


def test_the_phase_stands_first_where_there_are_several() -> None:
    assert tuning_text(tuned(phase="head")).startswith("head: epoch 1/3, loss")


def test_the_last_line_of_a_run_keeps_its_accuracies_before_another_begins(capsys: pytest.CaptureFixture[str]) -> None:
    with LineReporter() as lines:
        lines.tuning(tuned(epoch=3, clean_accuracy=0.5, robust_accuracy=0.25))
        lines.tuning(tuned(epoch=1))
    first, second = capsys.readouterr().out.splitlines()
    assert "clean 50.0 %, robust 25.0 %" in first
    assert "clean" not in second


def test_a_line_per_epoch_has_the_accuracies_measured_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    with LineReporter() as lines:
        lines.phase("tuning: a")
        lines.tuning(tuned(step=9))
        lines.tuning(tuned(step=10, loss=0.9))
        lines.tuning(tuned(step=11, epoch=2, clean_accuracy=0.5, robust_accuracy=0.25))
    title, first, second = capsys.readouterr().out.splitlines()
    assert title == "tuning: a"
    assert first == "  epoch 1/3, loss 0.900, epsilon 8/255, clean 50.0 %, robust 25.0 %, 1,234 images/s, 1:15 left"
    assert second.startswith("  epoch 2/3, loss 1.203")


def test_a_new_phase_begins_when_the_one_before_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with LineReporter() as lines:
        lines.phase("tuning: a")
        lines.tuning(tuned())
        for done in (50, 100):
            lines.phase("audit: a")
            lines.auditing(audited(images_done=done))
    said = [line.strip().split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert said == ["tuning: a", "epoch 1/3", "audit: a", "pgd@linf:0.1 (2 of 4)"]


def drawn() -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, color_system=None)
    with BarReporter(console) as bars:
        bars.phase("tuning: [a]")
        bars.tuning(tuned(step=15, clean_accuracy=0.5))
        bars.phase("audit: a")
        bars.auditing(audited())
        bars._live.refresh()
        sys.stdout.write("said meanwhile\n")
    return file.getvalue()


def test_bars_name_phase_share_time_and_numbers() -> None:
    text = drawn()
    for words in ("tuning: [a]", "50%", "1:15 left", "audit: a", "38%", "? left", "right 34.2 %", "said meanwhile"):
        assert words in text


@pytest.mark.parametrize(("terminal", "kind"), [(True, BarReporter), (False, LineReporter)])
def test_bars_are_for_terminals_only(terminal: bool, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    with reporting() as reporter:
        assert isinstance(reporter, kind)
