"""``robustpeft fetch``: is everything here that a study needs?"""

from __future__ import annotations

from typing import Annotated

import typer

from robustpeft.cli.user_errors import CANNOT_BE_USED, leave

__all__ = ["fetch"]


def fetch(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A YAML file, or a shipped name.")],
    scale: Annotated[
        str | None, typer.Option(help="One of the file's scales, such as paper.", show_default="the file's first")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As the study will be run.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only look; nothing is fetched or written.")] = False,
) -> None:
    """Bring weights and images of a study here, for machines without a network, and name what is missing."""
    from robustpeft.study.fetch import fetch as fetched
    from robustpeft.study.grid import read_study

    count, missing = 0, 0
    for need in fetched(read_study(study, scale, settings or ()), check=check):
        count += 1
        if need.missing:
            missing += 1
            print(f"missing: {need.what} ({need.missing})\n    {need.remedy}")
        else:
            print(f"here: {need.what}, in {need.where}")
    if missing:
        leave(f"{missing} of {count} are missing", CANNOT_BE_USED)
    print(f"all {count} are here" if count else "everything comes with the package")
