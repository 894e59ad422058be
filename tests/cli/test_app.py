import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import robustpeft

COMMANDS = ("demo", "tune", "audit", "predict", "export", "report", "study", "list", "copy")
HEAVY = ("torch", "torchvision", "timm", "numpy", "sklearn", "pyarrow", "matplotlib", "robustpeft.study")


def test_help_imports_nothing_heavy() -> None:
    lines = [
        "import sys",
        "from robustpeft.cli.__main__ import main",
        f"for command in {[[], *([c] for c in COMMANDS)]}:",
        "    try:",
        "        main([*command, '--help'])",
        "    except SystemExit as left:",
        "        assert left.code == 0",
        f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])",
    ]
    ended = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "loaded: []"


def test_help_names_every_command_and_the_exit_statuses(type_in: Callable[..., Any]) -> None:
    said = type_in("--help").out
    assert [command for command in COMMANDS if f" {command} " not in said] == []
    assert "130" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_so_has_every_option(command: str, type_in: Callable[..., Any]) -> None:
    said = type_in(command, "--help")
    assert said.status == 0
    rows = [row for line in said.out.splitlines() if (row := line.strip("\u2502 *")).startswith("--")]
    assert rows
    assert all(len(row.split("  ")) > 1 for row in rows)


def test_no_command_shows_the_help(type_in: Callable[..., Any]) -> None:
    ended = type_in()
    assert "Commands" in ended.out + ended.err


def test_version_is_the_packages(type_in: Callable[..., Any]) -> None:
    ended = type_in("--version")
    assert (ended.status, ended.out) == (0, f"robustpeft {robustpeft.__version__}\n")


def test_the_package_runs_as_a_module() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "robustpeft", "--version"], capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("robustpeft ")
