"""``robustpeft verify``: does a record hold, when a third party asks the model again?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robustpeft.cli.options import Device, TestData, Weights

__all__ = ["verify"]

_STATUS = {"confirmed": 0, "refuted": 1, "unchecked": 2}


def verify(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="Directory of a record, or its audit.json.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help="The run, or another model as for audit.",
            show_default="only whether the files agree",
        ),
    ] = None,
    data: TestData = None,
    undefended: Annotated[
        bool, typer.Option("--undefended", help="The record is of the run's network without what was trained.")
    ] = False,
    without_perturbations: Annotated[
        bool, typer.Option("--without-perturbations", help="Ask about clean and adversarial images alone.")
    ] = False,
    weights: Weights = None,
    device: Device = "auto",
    trust: Annotated[bool, typer.Option("--trust", help="Import classes of others that run or record name.")] = False,
) -> None:
    """Ask the model again about the images that are said to break it; no attack is run.

    Exit status: 0 all is confirmed, 1 something is refuted, 2 something could not be checked.
    """
    from rich.console import Console

    from robustpeft.report.verification import verification_sentence, verification_table
    from robustpeft.study import verify_run

    found = verify_run(
        record,
        model,
        data,
        undefended=undefended,
        perturbations=not without_perturbations,
        weights=weights,
        device=device,
        trust=trust,
    )
    console = Console()
    console.print(verification_table(found))
    console.print(verification_sentence(found))
    raise typer.Exit(_STATUS[found.outcome])
