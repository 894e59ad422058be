"""``robustpeft audit``: how robust are these models, and may we believe the number?"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robustpeft.cli.attack_option import attack_from_text, value_from_text
from robustpeft.cli.audit_folder import audit_folder_of
from robustpeft.cli.completion import attacks, profiles
from robustpeft.cli.progress import reporting
from robustpeft.cli.user_errors import INTERRUPTED, leave

if TYPE_CHECKING:
    from robustpeft.auditing import Progress

from robustpeft.cli.options import Device

__all__ = ["audit"]

_THEIRS = "Somebody else's model"


def audit(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET",
            help="A run, an adapter, a name of timm's, a folder of transformers, module:factory or an ONNX file; "
            "one report for all.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            help="Images: digits, torch/NAME, hf/USER/NAME, a folder, a Parquet file.",
            show_default="what the first run was tuned on",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Directory of records and report.",
            show_default="RUN/audit; audits/NAME for what is no run",
        ),
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
        str | None,
        typer.Option(help="linf, l2, l1 or patch:share=0.05,row=0.5.", show_default="what the run was tuned for"),
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
            help="quick, standard (AutoAttack at the largest radius, all checks) or full; tells how long it may take.",
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
    alone: Annotated[
        bool,
        typer.Option(
            "--alone", help="Do not try what broke one model first on those after it that share its backbone."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the audit that is there.")] = False,
    device: Device = "auto",
    weights: Annotated[
        str | None,
        typer.Option(help="A file of weights; of a run, where its backbone's lie now.", show_default="where they were"),
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Import code of others that the target names.")] = False,
    architecture: Annotated[
        str | None,
        typer.Option(help="Name of timm's for a file of weights or a bare adapter.", rich_help_panel=_THEIRS),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(help="Side of the images, in pixels.", show_default="what it says", rich_help_panel=_THEIRS),
    ] = None,
    normalization: Annotated[
        str | None,
        typer.Option(
            help="half, imagenet, clip, cifar10, none, bytes, or mean/std: 0.5,0.5,0.5/0.25,0.25,0.25.",
            show_default="found by trying",
            rich_help_panel=_THEIRS,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names of its outputs in order: a file, a comma list, or imagenet.",
            show_default="what it says, or found by name",
            rich_help_panel=_THEIRS,
        ),
    ] = None,
    class_order: Annotated[
        str | None,
        typer.Option(
            help="Order of outputs without names: data, lexicographic, natural, fitted.",
            show_default="data, refused if another fits",
            rich_help_panel=_THEIRS,
        ),
    ] = None,
    crop: Annotated[
        float | None,
        typer.Option(
            help="Share of each side left when the centre is cut out: 0.875.", show_default="1", rich_help_panel=_THEIRS
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="Argument of a factory, NAME=VALUE; may be repeated.", rich_help_panel=_THEIRS),
    ] = None,
    claimed_clean: Annotated[
        float | None,
        typer.Option(help="Clean accuracy that its author claims: 0.913.", rich_help_panel=_THEIRS),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="Of the attacks' passes: float32, bf16, auto; only float32 counts.", show_default="float32"),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per forward pass.", show_default="128")] = None,
) -> None:
    """Attack and perturb test images, write audit.json for each run and one report for all."""
    folder = None if images is None or images.lstrip("+-").isdecimal() else Path(images)
    given: dict[str, Any] = {
        "images": None if images is None or folder is not None else int(images),
        "corruptions": None if corruptions is None else [part.strip() for part in corruptions.split(",")],
        "epsilons": None if epsilons is None else [part.strip() for part in epsilons.split(",")],
        "norm": norm,
        "attacks": None if attack is None else [attack_from_text(text) for text in attack],
        "batch_size": batch_size,
        "precision": precision,
        "keep_images": False if forget_images else None,
    }
    standing: list[str] = []
    with _calmly(standing, overwrite=overwrite), reporting() as reporter:
        from robustpeft.study.targets import Facts, default_place

        where = output or default_place(targets[0])
        facts = Facts(
            weights=weights,
            architecture=architecture,
            image_size=image_size,
            normalization=normalization,
            classes=classes,
            class_order=class_order,
            crop=crop,
            claimed_clean=claimed_clean,
            options=dict(value_from_text(text, "in --option", "width=64") for text in option or ()),
            trust=trust,
        )
        if folder is not None:
            return audit_folder_of(targets, folder, output, data=data, device=device, facts=facts)
        from robustpeft.study.audit_runs import AuditRequest, audit_runs

        request = AuditRequest(
            data=data,
            changes={field: value for field, value in given.items() if value is not None},
            undefended=undefended,
            split=split,
            seed=seed,
            device=device,
            overwrite=overwrite,
            profile=profile,
            facts=facts,
            alone=alone,
        )

        def show(label: str, progress: Progress) -> None:
            standing[:] = [f"{progress.key} of {label}", f"{progress.images_done:,} of {progress.images:,} images done"]
            reporter.phase(f"audit: {label}")
            reporter.auditing(progress)

        records = audit_runs(targets, where, request, show)
    from robustpeft.cli.report import show_report

    return show_report(records, where)


@contextmanager
def _calmly(standing: Sequence[str], *, overwrite: bool) -> Iterator[None]:
    """Let Ctrl-C end with one sentence: where the audit stands, and that the same command goes on.

    Args:
        standing: The present measurement, and how far it is; empty before the first.
        overwrite: The command asks for records to be replaced, those that it wrote itself included.
    """
    try:
        yield
    except KeyboardInterrupt:
        again = shlex.join(["robustpeft", *sys.argv[1:]])
        if not standing:
            leave(f"interrupted before the first measurement; begin again with\n  {again}", INTERRUPTED)
        where, kept = ", ".join(standing), "every result so far is kept"
        if overwrite:
            kept = "the results of this model are kept, but --overwrite audits any before it again"
        leave(f"interrupted in {where}; {kept}: go on with\n  {again}", INTERRUPTED)
