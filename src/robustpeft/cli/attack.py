"""``robustpeft attack``: how does one get adversarial images to look at, or to show to another model?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from robustpeft.cli.attack_option import attack_from_text
from robustpeft.cli.completion import attacks
from robustpeft.cli.options import Device, TestData, Weights
from robustpeft.cli.progress import reporting

__all__ = ["attack"]


def attack(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A run, or another model as for audit.")],
    save: Annotated[Path, typer.Option("--save", "-o", help="Directory for the images, new or empty.")],
    data: TestData = None,
    images: Annotated[int, typer.Option(help="At most this many images, a stratified subset.")] = 1000,
    epsilon: Annotated[
        str | None, typer.Option(help="Radius, for example 4/255.", show_default="what the run was tuned for")
    ] = None,
    norm: Annotated[
        str | None, typer.Option(help="linf, l2, l1 or patch.", show_default="what the run was tuned for")
    ] = None,
    how: Annotated[
        str | None,
        typer.Option(
            "--attack", help="How images are made.", autocompletion=attacks, show_default="pgd:steps=20,loss=margin"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the subset and the attack.")] = 0,
    device: Device = "auto",
    weights: Weights = None,
    trust: Annotated[bool, typer.Option("--trust", help="Import classes of others that the run names.")] = False,
) -> None:
    """Attack test images and save them: PNG in class folders, float32 tensors, and a manifest."""
    with reporting() as reporter:
        from robustpeft.study.compare_runs import CompareRequest, save_run_attack

        given: dict[str, Any] = {"norm": norm, "epsilon": epsilon}
        request = CompareRequest(
            data=data,
            attack=None if how is None else attack_from_text(how),
            threat={key: value for key, value in given.items() if value is not None},
            images=images,
            seed=seed,
            device=device,
            weights=weights,
            trust=trust,
        )
        reporter.phase("attack")
        manifest = save_run_attack(target, save, request)
    print(f"manifest: {manifest}")
    print(f"next: robustpeft audit RUN --images {save}")
