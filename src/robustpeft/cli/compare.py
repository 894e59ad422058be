"""``robustpeft compare``: does an image made against one model fool the others?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from robustpeft.cli.attack_option import attack_from_text
from robustpeft.cli.options import Device, Weights
from robustpeft.cli.progress import reporting

__all__ = ["compare"]


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="TARGET", help="Runs, or other models as for audit; sources and targets alike."),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            help="Images: digits, torch/NAME, hf/USER/NAME, a folder, a Parquet file.",
            show_default="what the first run was tuned on",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory of record and report.")] = Path("compare"),
    images: Annotated[int, typer.Option(help="At most this many images, a stratified subset.")] = 1000,
    epsilon: Annotated[
        str | None, typer.Option(help="Radius, for example 4/255.", show_default="what the runs were tuned for")
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(help="linf, l2, l1 or patch:share=0.05,row=0.5.", show_default="what the runs were tuned for"),
    ] = None,
    attack: Annotated[
        str | None, typer.Option(help="How images are made.", show_default="pgd:steps=20,loss=margin")
    ] = None,
    undefended: Annotated[
        bool, typer.Option("--undefended", help="Compare the first run's frozen network too, which the public has.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the subset and the attack.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the comparison that is there.")] = False,
    device: Device = "auto",
    weights: Weights = None,
    trust: Annotated[bool, typer.Option("--trust", help="Import classes of others that the runs name.")] = False,
) -> None:
    """Attack every model, judge the images on all of them, write transfer.json and a report of the matrix."""
    with reporting() as reporter:
        from robustpeft.study.compare_runs import CompareRequest, compare_runs

        given: dict[str, Any] = {"norm": norm, "epsilon": epsilon}
        request = CompareRequest(
            data=data,
            attack=None if attack is None else attack_from_text(attack),
            threat={key: value for key, value in given.items() if value is not None},
            images=images,
            undefended=undefended,
            seed=seed,
            device=device,
            overwrite=overwrite,
            weights=weights,
            trust=trust,
        )
        reporter.phase("compare")
        record = compare_runs(runs, output, request)
    from rich.console import Console

    from robustpeft.report import transfer_terminal, write_transfer_report

    page = write_transfer_report(record, output)
    Console().print(transfer_terminal(record))
    print(f"report: {page}")
