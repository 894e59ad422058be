"""``robustpeft demo``: what does all this look like, on what ships with the package?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from robustpeft.cli.progress import reporting
from robustpeft.cli.study import study

__all__ = ["demo"]

COMPARISON = "fulllora"
"""The study that compares techniques fairly, at the scale `digits`."""


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory of runs, records and report.")] = Path(
        "robustpeft-demo"
    ),
    with_full: Annotated[
        bool, typer.Option("--with-full", help="Compare with full tuning, over seeds and rates, by AutoAttack; hours.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of all randomness.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo.")] = False,
) -> None:
    """Make a small Vision Transformer robust on handwritten digits, audit it, and write the report."""
    with reporting() as reporter:
        from robustpeft.study.demo import demo as run_demo

        result = run_demo(output, with_full=with_full, seed=seed, overwrite=overwrite, reporter=reporter)
    from rich.console import Console

    from robustpeft.report import terminal_headlines, terminal_table

    Console().print(*terminal_headlines(result.records), sep="\n")
    Console().print(terminal_table(result.records))
    print("next, with photographs of your own (one folder per class):")
    print("  robustpeft tune fulllora-folder data.path=PHOTOS")
    print(f"report: {result.report}")
    if with_full:
        print("the comparison, one seed above being no evidence: over seeds and learning rates, hours on two cores")
        study([COMPARISON], scale="digits", output=output / "comparison", workers=os.cpu_count() or 1, device="cpu")
