"""``robustpeft push``: how does an adapter get onto the Hugging Face hub?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["push"]


def push(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.")],
    name: Annotated[str, typer.Argument(metavar="USER/NAME", help="Where to; USER/NAME@BRANCH for a branch.")],
    public: Annotated[
        bool, typer.Option("--public/--private", help="Who sees a new repository; one that is there stays as it is.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch, made if need be.", show_default="main")] = None,
    license_id: Annotated[
        str | None, typer.Option("--license", help="Of the adapter: apache-2.0, mit, ...", show_default="none said")
    ] = None,
    audit: Annotated[
        list[Path] | None, typer.Option(help="An audit of it that lies elsewhere; may be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files and their sizes, send nothing.")] = False,
) -> None:
    """Send the adapter, its model card and its audits to the hub; no images, checkpoints or paths of this machine."""
    from robustpeft import study
    from robustpeft.report.wording import byte_text

    where = f"{name}@{revision}" if revision else name
    pushed = study.push(run, where, private=not public, license_id=license_id, audits=audit or (), dry_run=dry_run)
    for file, size in pushed.files:
        print(f"{byte_text(size):>9}  {file}")
    if pushed.url is None:
        print(f"dry run: nothing was sent to {pushed.name}")
    else:
        print(f"pushed, {'private' if pushed.private else 'public'}: {pushed.url}")
