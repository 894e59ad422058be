"""Which options mean the same in every command that has them?"""

from __future__ import annotations

from typing import Annotated

import typer

from robustpeft.cli.completion import devices

__all__ = ["Device", "TestData", "Weights"]

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", autocompletion=devices)]
Weights = Annotated[
    str | None, typer.Option(help="The backbone's weights, if they moved.", show_default="where they were")
]
TestData = Annotated[
    str | None,
    typer.Option(
        help="Images: digits, torch/NAME, hf/USER/NAME, a folder, a Parquet file.",
        show_default="what the run was tuned on",
    ),
]
