"""One table says with which number a command ends; every command keeps to it."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer
from typer.main import get_command

from robustpeft.cli import __main__ as entry
from robustpeft.cli.app import app
from robustpeft.cli.exit_status import MEANINGS, ExitStatus
from robustpeft.cli.user_errors import readable
from robustpeft.errors import UserError

group: Any = get_command(app)
COMMANDS = sorted(group.commands)


def test_every_status_has_a_meaning_and_the_help_says_it(type_in: Callable[..., Any]) -> None:
    assert set(MEANINGS) == set(ExitStatus)
    said = " ".join(type_in("--help").out.split())
    assert [f"{status:d}" for status in ExitStatus if f"{status:d} " not in said] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_status_0_for_help_and_2_for_what_it_does_not_know(
    command: str, type_in: Callable[..., Any]
) -> None:
    assert type_in(command, "--help").status == ExitStatus.DONE
    assert type_in(command, "--no-such-option").status == ExitStatus.UNUSABLE
    assert {"--quiet", "--verbose"} <= {word for p in group.commands[command].params for word in p.opts}


ENDS: dict[type[BaseException], ExitStatus] = {
    UserError: ExitStatus.UNUSABLE,
    KeyboardInterrupt: ExitStatus.INTERRUPTED,
    RuntimeError: ExitStatus.BUG,
}


@pytest.mark.parametrize("error", ENDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_ends_as_the_table_says(
    command: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command's own function is replaced by one that fails, behind the wrapper that all of them share."""

    def fails() -> None:
        raise error("why")

    small = typer.Typer(pretty_exceptions_enable=False)
    small.callback()(lambda: None)
    (registered,) = [c for c in app.registered_commands if c.name == command]
    assert registered.callback is not None
    small.command(command)(readable(fails))
    monkeypatch.setattr(entry, "app", small)
    with pytest.raises(SystemExit) as left:
        entry.main([command])
    assert left.value.code == ENDS[error]
    assert ("Traceback" in capsys.readouterr().err) == (ENDS[error] is ExitStatus.BUG)


def test_quiet_and_verbose_contradict_each_other(type_in: Callable[..., Any]) -> None:
    ended = type_in("list", "recipes", "-q", "-v")
    assert (ended.status, "contradict" in ended.err) == (ExitStatus.UNUSABLE, True)


def test_nobody_is_complained_to_when_nobody_reads() -> None:
    command = f"{sys.executable} -m robustpeft list | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=os.environ, check=False)
    assert ended.returncode in (ExitStatus.NOBODY_READS, ExitStatus.DONE)  # done if it wrote before the reader left
    assert ended.stderr == ""
