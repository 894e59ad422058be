"""Which commands are there?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

import robustpeft
from robustpeft.cli.attack import attack
from robustpeft.cli.audit import audit
from robustpeft.cli.browser import browser
from robustpeft.cli.compare import compare
from robustpeft.cli.copy import copy
from robustpeft.cli.demo import demo
from robustpeft.cli.doctor import doctor
from robustpeft.cli.exit_status import MEANINGS
from robustpeft.cli.export import export
from robustpeft.cli.fetch import fetch
from robustpeft.cli.gate import gate
from robustpeft.cli.init import init
from robustpeft.cli.list import list_
from robustpeft.cli.predict import predict
from robustpeft.cli.pull import pull
from robustpeft.cli.push import push
from robustpeft.cli.report import report
from robustpeft.cli.study import study
from robustpeft.cli.track import track
from robustpeft.cli.tune import tune
from robustpeft.cli.user_errors import readable
from robustpeft.cli.verify import verify

__all__ = ["app"]

_COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "init": init,
    "tune": tune,
    "audit": audit,
    "attack": attack,
    "compare": compare,
    "predict": predict,
    "export": export,
    "push": push,
    "pull": pull,
    "report": report,
    "verify": verify,
    "gate": gate,
    "study": study,
    "fetch": fetch,
    "app": browser,
    "track": track,
    "list": list_,
    "copy": copy,
    "doctor": doctor,
}

app = typer.Typer(
    help="Make pretrained Vision Transformers robust by training a few parameters, and measure how robust they are.",
    epilog=f"Exit status: {'; '.join(f'{status:d} {meaning}' for status, meaning in MEANINGS.items())}.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a bug shows Python's own traceback, without the values of local variables
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in _COMMANDS.items():
    app.command(_name)(readable(_command))


def _print_version(asked: bool) -> None:
    if asked:
        print(f"robustpeft {robustpeft.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Take the options that stand before the command."""
