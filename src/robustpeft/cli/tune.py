"""``robustpeft tune``: how does a frozen model become a tuned one?"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustpeft.cli.completion import recipes, settings as settings_
from robustpeft.cli.progress import reporting
from robustpeft.cli.spokesman import is_spokesman
from robustpeft.cli.user_errors import INTERRUPTED, leave

if TYPE_CHECKING:
    from robustpeft.study import Run

from robustpeft.cli.options import Device

__all__ = ["tune"]


def tune(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A YAML file, or a shipped name (robustpeft list recipes).",
            autocompletion=recipes,
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="For example training.epochs=5 method.r=16.", autocompletion=settings_
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Directory of the run.", show_default="runs/RECIPE")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete the run that is there.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="The same as KEY=VALUE behind the recipe.")
    ] = None,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="First try five learning rates on a quarter of the epochs.")
    ] = False,
    only_estimate: Annotated[
        bool, typer.Option("--dry-run", help="Say what it costs, from a few real steps; no run is made.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Tune what a recipe describes; what was best on validation images is kept."""
    where = output or Path("runs") / Path(recipe).stem
    changes = [*(overrides or ()), *(settings or ())]
    if only_estimate:
        _print_cost(recipe, changes, device)
        return
    try:
        with reporting() as reporter:
            reporter.phase(f"tuning: {where.name}")
            from robustpeft.study import read_recipe, tune_recipe

            run = tune_recipe(
                read_recipe(recipe, changes),
                where,
                resume=resume,
                overwrite=overwrite,
                find_rate=find_lr,
                device=device,
                observer=reporter.tuning,
            )
    except KeyboardInterrupt as interrupt:
        again = ["robustpeft", "tune", recipe, *changes, *(["--find-lr"] if find_lr else [])]
        command = shlex.join([*again, "--output", str(where), "--device", device, "--resume"])
        leave(_interruption(str(interrupt), command), INTERRUPTED)
    if is_spokesman():
        _print_result(run)


def _interruption(when: str, command: str) -> str:
    """Return what Ctrl-C left behind; `when` is for example ``after 3 of 15 epochs``, empty before the first step."""
    if not when or when.startswith("after 0 "):
        return "interrupted before the first epoch was complete; there is no checkpoint"
    return f"interrupted {when}; the last checkpoint is kept: go on with\n  {command}"


def _print_cost(recipe: str, changes: list[str], device: str) -> None:
    from robustpeft.cli.progress_text import bytes_text, time_text
    from robustpeft.study import dry_run, read_recipe

    cost = dry_run(read_recipe(recipe, changes), device=device)
    in_parts = f", the parameter pass in parts of {cost.micro_batch_size}" if cost.micro_batch_size else ""
    how = "allocated on the GPU" if cost.memory_is_measured else "weights, optimiser and what backward passes need"
    print(f"trained  {cost.trained:,} of {cost.parameters:,} parameters, {cost.trained_head:,} of them in the head")
    print(f"memory   {bytes_text(cost.memory_bytes)} at the most in a step ({how}){in_parts}")
    print(f"time     {time_text(cost.seconds)}: {cost.steps:,} steps of {cost.step_seconds:.3g} s, and validation")
    print(f"disk     {bytes_text(cost.disk_bytes)}: the adapter and two checkpoints")
    print("this was an estimate: no run was made")


def _print_result(run: Run) -> None:
    from robustpeft.records import Rate
    from robustpeft.report.wording import rate_text

    scores = run.tuning["validation"]
    if "rate_search" in run.tuning:
        print(f"learning rate {run.tuning['training']['learning_rate']:g}: {run.tuning['rate_search']}")
    print(f"kept epoch {run.tuning['best_epoch']}, the best on the validation images:")
    print(f"  clean   {rate_text(Rate(scores['clean'], scores['n']))}")
    if run.model.threat is not None:
        print(f"  robust  {rate_text(Rate(scores['robust'], scores['n']))}, under the attack of selection")
    print(f"run: {run.path}")
    print(f"next: {shlex.join(['robustpeft', 'audit', str(run.path)])}")
