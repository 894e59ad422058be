"""``robustpeft audit``: how robust are these runs, and may we believe the number?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robustpeft.cli.attack_option import attack_from_text
from robustpeft.cli.completion import attacks, devices, profiles
from robustpeft.cli.progress import reporting

if TYPE_CHECKING:
    from robustpeft.auditing import Progress

__all__ = ["audit"]


def audit(
    targets: Annotated[list[Path], typer.Argument(metavar="RUN", help="Directories of runs; one report for all.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="Images: digits, torch/NAME, hf/USER/NAME, a folder, a Parquet file.",
            show_default="what the first run was tuned on",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Directory of records and report.", show_default="RUN/audit")
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            metavar="N|DIR",
            help="At most this many, a stratified subset; or a folder of images, judged as they are.",
            show_default="1000",
        ),
    ] = None,
    epsilons: Annotated[
        str | None,
        typer.Option(help="Radii, ascending: 1/255,2/255,4/255.", show_default="shares of what the run was tuned for"),
    ] = None,
    norm: Annotated[
        str | None, typer.Option(help="linf, l2, l1 or patch.", show_default="what the run was tuned for")
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            help="For example pgd:steps=50,restarts=5; may be repeated.",
            autocompletion=attacks,
            show_default="fgsm, pgd:steps=20, pgd:steps=20,loss=margin",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="quick, standard (AutoAttack, all checks) or full; tells how long it may take.",
            autocompletion=profiles,
            show_default="the plan's attacks, small checks",
        ),
    ] = None,
    corruptions: Annotated[
        str | None, typer.Option(help="Severities of the 15 common corruptions: 1,3,5.", show_default="none")
    ] = None,
    split: Annotated[str, typer.Option(help="test, or validation while choosing.")] = "test",
    seed: Annotated[int, typer.Option(help="Of the subset, the attacks and the perturbations.")] = 0,
    undefended: Annotated[
        bool,
        typer.Option(
            "--undefended", help="Audit the first run's frozen network beside it; a head that was new is fitted."
        ),
    ] = False,
    forget_images: Annotated[
        bool,
        typer.Option(
            "--forget-images", help="Do not keep the adversarial images with which `verify` checks the counts."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the audit that is there.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", autocompletion=devices)] = "auto",
    weights: Annotated[
        str | None, typer.Option(help="The backbone's weights, if they moved.", show_default="where they were")
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Import classes of others that the run names.")] = False,
    batch_size: Annotated[int | None, typer.Option(help="Images per forward pass.", show_default="128")] = None,
) -> None:
    """Attack and perturb test images, write audit.json for each run and one report for all."""
    if images is not None and not images.lstrip("+-").isdecimal():
        from robustpeft.cli.audit_folder import audit_folder_of

        return audit_folder_of(targets, Path(images), output, device=device, weights=weights, trust=trust)
    given: dict[str, Any] = {
        "images": None if images is None else int(images),
        "corruptions": None if corruptions is None else [part.strip() for part in corruptions.split(",")],
        "epsilons": None if epsilons is None else [part.strip() for part in epsilons.split(",")],
        "norm": norm,
        "attacks": None if attack is None else [attack_from_text(text) for text in attack],
        "batch_size": batch_size,
        "keep_images": False if forget_images else None,
    }
    where = output or targets[0] / "audit"
    with reporting() as reporter:
        from robustpeft.study.audit_runs import AuditRequest, audit_runs

        request = AuditRequest(
            data=data,
            changes={field: value for field, value in given.items() if value is not None},
            undefended=undefended,
            split=split,
            seed=seed,
            device=device,
            overwrite=overwrite,
            weights=weights,
            trust=trust,
            profile=profile,
        )

        def show(label: str, progress: Progress) -> None:
            reporter.phase(f"audit: {label}")
            reporter.auditing(progress)

        records = audit_runs(targets, where, request, show)
    from robustpeft.cli.report import show_report

    return show_report(records, where)
