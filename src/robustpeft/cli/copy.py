"""``robustpeft copy``: how does one get a shipped recipe to edit?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robustpeft.cli.completion import recipes
from robustpeft.errors import UserError, nearest_hint

__all__ = ["copy"]


def copy(
    recipe: Annotated[
        str,
        typer.Argument(
            help="Name of a shipped recipe (robustpeft list recipes).",
            autocompletion=recipes,
        ),
    ],
    destination: Annotated[
        Path | None, typer.Argument(help="A file or a folder; nothing is replaced.", show_default="RECIPE.yaml")
    ] = None,
) -> None:
    """Copy a shipped recipe for editing."""
    from robustpeft.study import shipped_recipes

    shipped = shipped_recipes()
    if recipe not in shipped:
        raise UserError(f"no shipped recipe {recipe!r}; {nearest_hint(recipe, shipped)}")
    target = destination or Path(f"{recipe}.yaml")
    if target.is_dir():
        target /= f"{recipe}.yaml"
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(shipped[recipe].read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise UserError(f"{target} exists; give another destination") from error
    print(f"recipe: {target}")
    print(f"next: robustpeft tune {target}")
