"""``robustpeft init FOLDER``: how does a folder of one's own photographs become a recipe?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robustpeft.cli.asking import asking

__all__ = ["init"]


def init(
    folder: Annotated[Path, typer.Argument(help="One folder per class; or train, val and test with these in them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the recipe and the contact sheet go.")] = Path(),
    hardware: Annotated[
        str | None, typer.Option(help="Where it will be tuned: auto, cpu, mps, cuda.", show_default="asked")
    ] = None,
    time: Annotated[str | None, typer.Option(help="For tuning: 45m, 1h30m, 2d.", show_default="asked")] = None,
    epsilon: Annotated[str | None, typer.Option(help="Radius, for example 4/255.", show_default="asked")] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Weights or a run of your own to start from.", show_default="asked")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Name of the network, as timm has it.", show_default="what suits the hardware")
    ] = None,
    mistakes: Annotated[
        list[str] | None,
        typer.Option("--mistake", metavar="CLASS[:TAKEN-FOR]", help="One that hurts; may be repeated."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take the defaults.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier init wrote.")] = False,
) -> None:
    """Look at photographs, show them at several epsilons, ask a few questions, write a commented recipe."""
    from robustpeft.study.photographs import Given, begin

    given = Given(hardware, tuple(mistakes or ()), checkpoint, backbone, time, epsilon)
    with asking(silently=yes) as (ask, watch):
        begun = begin(folder, output, given, ask=ask, tell=print, observer=watch, overwrite=overwrite)
    print(f"recipe: {begun.recipe}")
    print("next:")
    for command in begun.commands:
        print(f"  {command}")
