"""``robustpeft study``: how does a grid of experiments run, and where does it stand?"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustpeft.cli.completion import studies
from robustpeft.cli.user_errors import INTERRUPTED, leave
from robustpeft.errors import UserError, nearest_hint

if TYPE_CHECKING:
    from robustpeft.study.grid import Place, Study

from robustpeft.cli.options import Device

__all__ = ["study"]

_ACTIONS = ("run", "retry", "status", "report", "clean")


def study(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[ACTION] FILE",
            help="A YAML file, or a shipped name. Before it: run (if left out), retry (what failed too), status, "
            "report (on what is there), clean (checkpoints, and what failed runs left).",
            autocompletion=studies,
        ),
    ],
    scale: Annotated[
        str | None, typer.Option(help="One of the file's scales, such as smoke.", show_default="the file's first")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory of studies and store.")] = Path("runs"),
    store: Annotated[
        Path | None, typer.Option(help="Directory of experiments; studies may share it.", show_default="OUTPUT/store")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes with one thread each; 0 for this process alone.")] = 0,
    executor: Annotated[
        str, typer.Option(help="Where experiments run: local, ray, slurm, or package.module:Class.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of a Ray cluster, or auto.", show_default="a cluster of this machine alone"),
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="KEY=VALUE", help="Of the executor: cpus=4, gpus=1, partition=gpu, time=4h."),
    ] = None,
    only_estimate: Annotated[
        bool, typer.Option("--dry-run", help="Say what it costs, from a few real steps; nothing is run.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Of the recipe, for all arms: data.path=PHOTOS."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Run a grid of experiments: choose on validation images, run on fresh seeds, audit, report."""
    action, file = _parsed(words)
    from robustpeft.study.grid import Place, executor_of, read_study
    from robustpeft.study.recipe import read_setting

    asked = read_study(file, scale, settings or ())
    name = f"{asked.name}-{asked.scale}" if asked.scale else asked.name
    given = {key: value for key, value in {"workers": workers or None, "address": address}.items() if value is not None}
    where = executor_of(asked, executor, given | dict(map(read_setting, fields or ())))
    options = ["--output", str(output), *(["--scale", scale] if scale else [])]
    options += ["--workers", str(workers)] if executor == "local" else ["--executor", executor]
    options += [] if device == "auto" else ["--device", device]
    options += [] if address is None else ["--address", address]
    options += [word for field in fields or () for word in ("--with", field)]
    options += [word for setting in settings or () for word in ("--set", setting)]
    options += [] if store is None else ["--store", str(store)]
    command = shlex.join(["robustpeft", "study", file, *options])
    place = Place(output / name, store or output / "store", device, where, command=command)
    if only_estimate:
        _estimate(asked, place)
    elif action in ("run", "retry"):
        _run(asked, place, again=action == "retry")
    else:
        {"status": _status, "report": _report, "clean": _clean}[action](asked, place)


def _parsed(words: list[str]) -> tuple[str, str]:
    if settings := [word for word in words if "=" in word]:
        options = " ".join(f"--set {word}" for word in settings)
        raise UserError(f"{settings[0]} has no --set before it; every setting has one of its own: {options}")
    action, file = ("run", words[0]) if len(words) == 1 else (words[0], words[-1])
    if len(words) > 2:
        raise UserError(f"study takes an action and a file; got {len(words)} words")
    if action not in _ACTIONS:
        raise UserError(f"unknown action {action!r}; {nearest_hint(action, _ACTIONS)}")
    return action, file


def _run(asked: Study, place: Place, *, again: bool) -> None:
    from robustpeft.cli.study_table import watching
    from robustpeft.study.grid import Store, forgive, run_study

    if again:
        print(f"{forgive(asked, Store(place.store))} failed experiments are tried again")
    try:
        with watching(asked, Store(place.store)) as observer:
            record = run_study(asked, place, observer)
    except KeyboardInterrupt:
        leave(f"interrupted; what is done is kept: go on with\n  {place.command}", INTERRUPTED)
    failed = sum(bool(run.failed) for arm in record.arms for run in arm.runs)
    unanswered = sum(bool(stage.failed) for stage in record.stages)
    for count, what in ((failed, "runs have no result"), (unanswered, "transfers and distances have no answer")):
        if count:
            print(f"{count} {what}; see the report, and: robustpeft study retry")
    _report(asked, place)


def _status(asked: Study, place: Place) -> None:
    from rich.console import Console

    from robustpeft.cli.study_table import status_table
    from robustpeft.study.grid import Store, status

    found = status(asked, Store(place.store))
    Console().print(status_table(found))
    for file in dict.fromkeys(file for arm in found for file in arm.tracebacks):
        print(f"traceback: {file}")


def _report(asked: Study, place: Place) -> None:
    from robustpeft.report.study import write_study_report
    from robustpeft.study.grid import summarise

    print(f"report: {write_study_report(summarise(asked, place))}")


def _clean(asked: Study, place: Place) -> None:
    from robustpeft.cli.progress_text import bytes_text
    from robustpeft.study.grid import Store, clean

    print(f"{bytes_text(clean(asked, Store(place.store)))} freed")


def _estimate(asked: Study, place: Place) -> None:
    from rich.console import Console

    from robustpeft.cli.progress_text import bytes_text
    from robustpeft.cli.study_table import estimate_table
    from robustpeft.study.grid import Store, estimate

    found = estimate(asked, Store(place.store), device=place.device)
    Console().print(estimate_table(found))
    count = sum(arm.trials + arm.runs for arm in found)
    hours, disk = sum(arm.seconds for arm in found) / 3600, sum(arm.disk_bytes for arm in found)
    print(f"{count} experiments, at most {hours:.3g} hours on one worker, {bytes_text(disk)} that stay")
    print("this was an estimate: nothing was run")
