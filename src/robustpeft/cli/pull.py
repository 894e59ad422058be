"""``robustpeft pull``: how does an adapter come from the Hugging Face hub?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["pull"]


def pull(
    name: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="Which; USER/NAME@REVISION for another state of it.")
    ],
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Where to; new or empty.", show_default="runs/NAME")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.", show_default="main")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files and their sizes, fetch nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete the run that is there.")] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Take an adapter that names classes of others.")] = False,
) -> None:
    """Fetch an adapter, its card and its audits from the hub, and check them; scripts and pickles stay there."""
    from robustpeft import study
    from robustpeft.report.wording import byte_text

    where = f"{name}@{revision}" if revision else name
    if dry_run:
        for file, size in study.offered(where):
            print(f"{byte_text(size):>9}  {file}")
        print(f"dry run: nothing was fetched from {where}")
        return
    pulled = study.pull(where, directory, overwrite=overwrite, trust=trust)
    for file, size in pulled.files:
        print(f"{byte_text(size):>9}  {file}")
    print(f"pulled at {pulled.revision[:12]}: {pulled.path}")
