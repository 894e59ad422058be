"""``robustpeft app``: how does one play with models and read records in a browser?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robustpeft.cli.options import Device, Weights

__all__ = ["browser"]


def browser(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN ...]", help="Directories of runs.", show_default="those below --runs"),
    ] = None,
    folders: Annotated[
        list[Path] | None,
        typer.Option(
            "--runs",
            help="Directory in which runs and records are looked for; repeat it for several.",
            show_default="runs and robustpeft-demo, unless runs are given",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Example images: digits, torch/NAME, hf/USER/NAME, a folder, a Parquet file.",
            show_default="what the runs were tuned on",
        ),
    ] = None,
    device: Device = "auto",
    weights: Weights = None,
    trust: Annotated[bool, typer.Option("--trust", help="Import classes of others that the runs name.")] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs a login.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 7860,
    user: Annotated[str | None, typer.Option(help="Who may log in.")] = None,
    password: Annotated[
        str | None,
        typer.Option(envvar="ROBUSTPEFT_PASSWORD", help="With what; better in ROBUSTPEFT_PASSWORD, which ps hides."),
    ] = None,
) -> None:
    """Open a page on this machine: models under attack on one image, side by side, and a table of all records."""
    from robustpeft.app import Settings
    from robustpeft.app.serve import serve

    given = user is not None or password is not None
    settings = Settings(
        runs=tuple(runs or ()),
        folders=None if folders is None else tuple(folders),
        data=data,
        device=device,
        weights=weights,
        trust=trust,
        host=host,
        port=port,
        login=(user or "", password or "") if given else None,
    )
    serve(settings, lambda address: print(f"page: {address} (Ctrl-C ends it)", flush=True))
