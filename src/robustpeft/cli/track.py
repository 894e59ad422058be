"""``robustpeft track``: how do metrics reach a tracker after the fact?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["track"]


def track(
    path: Annotated[Path, typer.Argument(help="A run, a study's directory, or a directory of runs.")],
    to: Annotated[str, typer.Option(help="wandb or tensorboard.")] = "tensorboard",
    project: Annotated[str, typer.Option(help="W&B's project.")] = "robustpeft",
    offline: Annotated[
        bool, typer.Option("--offline", help="W&B writes files that `wandb sync` sends later; no account is needed.")
    ] = False,
) -> None:
    """Send metrics to a tracker from the files that runs left: one experiment one run, no step twice."""
    from robustpeft.study.track import track as send

    for sent in (found := send(path, to, project=project, offline=offline)):
        print(f"{sent.steps} new steps: {sent.name}" if sent.steps else f"nothing new: {sent.name}")
    print(f"{sum(sent.steps for sent in found)} steps of {len(found)} experiments sent to {to}")
