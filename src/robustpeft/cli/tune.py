"""``robustpeft tune``: how does a frozen model become a tuned one?"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustpeft.cli.progress import reporting
from robustpeft.cli.user_errors import INTERRUPTED, leave

if TYPE_CHECKING:
    from robustpeft.study import Run

__all__ = ["tune"]


def tune(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or a shipped name (robustpeft list recipes).")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="For example training.epochs=5 method.r=16."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Directory of the run.", show_default="runs/RECIPE")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete the run that is there.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
) -> None:
    """Tune what a recipe describes; what was best on validation images is kept."""
    where = output or Path("runs") / Path(recipe).stem
    try:
        with reporting() as reporter:
            reporter.phase(f"tuning: {where.name}")
            from robustpeft.study import read_recipe, tune_recipe

            run = tune_recipe(
                read_recipe(recipe, overrides or ()),
                where,
                resume=resume,
                overwrite=overwrite,
                device=device,
                observer=reporter.tuning,
            )
    except KeyboardInterrupt as interrupt:
        again = ["robustpeft", "tune", recipe, *(overrides or ()), "--output", str(where), "--device", device]
        leave(_interruption(str(interrupt), shlex.join([*again, "--resume"])), INTERRUPTED)
    _print_result(run)


def _interruption(when: str, command: str) -> str:
    """Return what Ctrl-C left behind; `when` is for example ``after 3 of 15 epochs``, empty before the first step."""
    if not when or when.startswith("after 0 "):
        return "interrupted before the first epoch was complete; there is no checkpoint"
    return f"interrupted {when}; the last checkpoint is kept: go on with\n  {command}"


def _print_result(run: Run) -> None:
    from robustpeft.records import Rate
    from robustpeft.report.wording import rate_text

    scores = run.tuning["validation"]
    print(f"kept epoch {run.tuning['best_epoch']}, the best on the validation images:")
    print(f"  clean   {rate_text(Rate(scores['clean'], scores['n']))}")
    if run.model.threat is not None:
        print(f"  robust  {rate_text(Rate(scores['robust'], scores['n']))}, under the attack of selection")
    print(f"run: {run.path}")
    print(f"next: {shlex.join(['robustpeft', 'audit', str(run.path)])}")
