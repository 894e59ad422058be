from collections import Counter
from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from robustpeft.cli.study_table import _Lines, estimate_table, status_table
from robustpeft.study.grid import ArmEstimate, ArmStatus, Event

ARMS = (
    ArmStatus("main", "LoRA", Counter(done=2, failed=1), Counter(waiting=3), ("no images",), 1500),
    ArmStatus("main", "full", Counter(), Counter(running=1, done=2), (), 500),
)


def text(table: Table) -> str:
    written = StringIO()
    Console(width=160, file=written).print(table)
    return " ".join(written.getvalue().split())


def test_every_state_reason_and_byte_is_shown() -> None:
    shown = text(status_table(ARMS))
    assert "main LoRA 2 done, 1 failed 3 waiting 1.5 kB no images" in shown
    assert "main full 1 running, 2 done 500 B" in shown
    assert "4 of 9 experiments done, 2 kB" in shown


def test_an_estimate_shows_counts_parameters_and_times() -> None:
    shown = text(estimate_table([ArmEstimate("main", "LoRA", 3, 2, 4746, 61.0, 5.0, 38_000, 90_000)]))
    assert "main LoRA 3 + 2 4,746 1:01 0:05 38 kB" in shown


def test_lines_go_on_counting_where_an_earlier_session_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _Lines(ARMS)
    lines(Event("a", "started", title="LoRA"))
    lines(Event("a", "busy", title="LoRA"))
    lines(Event("a", "failed", "no images", "LoRA"))
    assert capsys.readouterr().err == "5 of 9 failed: LoRA: no images\n"
