"""What stands at one place of an axis? Settings under a label, or one technique in the sizes that budgets allow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from robustpeft.backbones import Backbone, ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet import PETMethod
from robustpeft.pet.budget import parameters_from_text, size_field, solve_budget
from robustpeft.study.recipe import Recipe

__all__ = ["Point", "points_of", "within_budget"]


@dataclass(frozen=True)
class Point:
    """One place on an axis.

    Args:
        label: Its name in tables.
        settings: Dotted keys of the recipe.
        group: Points of one group are one curve over budgets; None for a group of its own.
        select: What is tried for it instead of the study's; None for the study's.
        budget: Trained parameters without the head for which the size of its technique is solved; None for none.
    """

    label: str
    settings: Mapping[str, Any]
    group: str | None = None
    select: Mapping[str, tuple[Any, ...]] | None = None
    budget: int | None = None


def points_of(axis: str, raw: Any) -> tuple[Point, ...]:
    """Return the point that a value, ``{label, value}`` or ``{label, set}`` stands for; with `budgets`, one for each.

    Raises:
        UserError: For an unknown key, or a value of the wrong kind.
    """
    if not (isinstance(raw, Mapping) and "label" in raw and ("value" in raw or "set" in raw)):
        return (Point(_label(axis, raw), {axis: raw}),)
    if unknown := raw.keys() - {"label", "value", "set", "group", "select", "budgets"}:
        raise UserError(
            f"axes.{axis}: a point has label, value or set, group, select and budgets; got {sorted(unknown)}"
        )
    settings = raw["set"] if "set" in raw else {axis: raw["value"]}
    select = raw.get("select")
    for word, given in (("set", settings), ("select", select)):
        if not isinstance(given, Mapping | None):
            raise UserError(f"axes.{axis}: {word} must be a mapping of dotted keys; got {given!r}")
    if select is not None and not all(isinstance(values, list | tuple) for values in select.values()):
        raise UserError(f"axes.{axis}: select holds lists of what is tried; got {select!r}")
    label, budgets = str(raw["label"]), raw.get("budgets")
    if budgets is None:
        return (Point(label, settings, raw.get("group"), select),)
    if not isinstance(budgets, list | tuple) or not budgets:
        raise UserError(
            f"axes.{axis}: budgets is a list of numbers of parameters, such as [10k, 100k]; got {budgets!r}"
        )
    group = raw.get("group", label)
    return tuple(
        Point(f"{label} {budget}", settings, group, select, parameters_from_text(str(budget))) for budget in budgets
    )


def within_budget(recipe: Recipe, budget: int, tolerance: float, where: str) -> Recipe:
    """Return the recipe with its technique in the largest size within the budget.

    Args:
        recipe: The technique's size in it does not matter.
        budget: Trained parameters without the head.
        tolerance: By which share of the budget the technique may stay below it.
        where: What stands before a complaint.

    Raises:
        UserError: If the technique has no size, or none that comes near enough.
    """
    try:
        method, count = _solved(recipe.method, dataclasses.replace(recipe.backbone, weights=False), budget)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    if count < (1 - tolerance) * budget:
        field = size_field(method) or ""
        below = 100 * (1 - count / budget)
        raise UserError(
            f"{where}: with {field}={getattr(method, field)} it has {count:,} parameters, {below:.0f} % below the "
            f"budget of {budget:,}, and one more is too much; give a budget that every technique can meet, or a "
            f"larger budget_tolerance (it is {tolerance})"
        )
    return dataclasses.replace(recipe, method=method)


@lru_cache(maxsize=1024)  # a live table asks for the arms of a study twice a second
def _solved(method: PETMethod, backbone: Backbone, budget: int) -> tuple[PETMethod, int]:
    model = _shapes(backbone)
    solved = solve_budget(method, model, budget)
    return solved, solved.count(model)


@lru_cache(maxsize=8)
def _shapes(backbone: Backbone) -> ImageClassifier:
    with torch.device("meta"):
        return backbone.load()


def _label(axis: str, value: Any) -> str:
    """Return for example ``lora r=4``, ``epsilon=8/255``."""
    if isinstance(value, Mapping):
        tags = ("name", "norm", "source")
        name = next((str(value[tag]) for tag in tags if tag in value), "")
        fields = [f"{key}={entry}" for key, entry in value.items() if key not in tags]
        return " ".join([*([name] if name else []), *fields])
    short = axis.rpartition(".")[2]
    return value if isinstance(value, str) and axis == short else f"{short}={value}"
