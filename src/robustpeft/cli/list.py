"""``robustpeft list``: what is there to choose from?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from robustpeft.cli.budget import BudgetRow, budget_rows
from robustpeft.cli.catalogue import TOPICS, Entry, entries_of
from robustpeft.cli.completion import topics
from robustpeft.errors import UserError, nearest_hint

__all__ = ["list_"]

_NOTES = {
    "methods": "And techniques of the library peft, with its own keys: peft:dora, peft:vera, peft:oft, ...",
    "datasets": "On the command line: digits, torch/cifar10, hf/USER/NAME, a folder, or a Parquet file.",
    "backbones": "And every timm ViT by its name: python -c \"import timm; print(timm.list_models('*vit*'))\".",
}


def list_(
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="[TOPIC]", help=f"One of {', '.join(TOPICS)}.", show_default="all of them", autocompletion=topics
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="With methods: solve r, bottleneck, ... for this many trained parameters: 300k, 1.5M."),
    ] = None,
    backbone: Annotated[
        str, typer.Option(help="Network for --budget: digits_vit or a name of timm's.")
    ] = "vit_base_patch16_224",
) -> None:
    """Show what there is, with every field and its default; package.module:Class of your own works too."""
    if topic is not None and topic not in TOPICS:
        raise UserError(f"there is no list of {topic!r}; {nearest_hint(topic, TOPICS)}")
    if budget is not None:
        if topic != "methods":
            raise UserError("--budget goes with methods: robustpeft list methods --budget 300k")
        from robustpeft.pet.budget import parameters_from_text

        parameters = parameters_from_text(budget)
        _print_budget(budget_rows(backbone, parameters), backbone, parameters)
        return
    for shown in TOPICS if topic is None else (topic,):
        _print(shown, entries_of(shown))


def _print(topic: str, entries: Sequence[Entry]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    with_fields = any(entry.fields for entry in entries)
    table = Table(title=topic, title_justify="left", box=box.SIMPLE_HEAD, caption=_NOTES.get(topic))
    table.add_column("name", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    if with_fields:
        table.add_column("fields", overflow="fold")
    for entry in entries:
        cells = [Text(entry.name, style="bold"), Text(entry.summary)]
        table.add_row(*cells, *([Text(", ".join(entry.fields))] if with_fields else []))
    Console().print(table)


def _print_budget(rows: Sequence[BudgetRow], backbone: str, budget: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = f"methods of at most {budget:,} trained parameters, without the head, on {backbone}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("name", no_wrap=True)
    table.add_column("size", overflow="fold")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("of the backbone", justify="right", no_wrap=True)
    for row in rows:
        count = "" if row.parameters is None else f"{row.parameters:,}"
        share = "" if row.share is None else f"{row.share:.2%}"
        table.add_row(Text(row.name, style="bold"), Text(row.size), count, share)
    Console().print(table)
