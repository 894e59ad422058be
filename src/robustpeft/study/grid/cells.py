"""Which experiments does a study ask for? Arms from the axes; for each arm its trials, and its runs."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from robustpeft.auditing import AuditPlan
from robustpeft.errors import UserError
from robustpeft.study.audit_model import default_plan
from robustpeft.study.axes import AXES
from robustpeft.study.grid.points import points_of, within_budget
from robustpeft.study.grid.stage_file import DistanceStage, TransferStage
from robustpeft.study.grid.study_file import Grid, Study
from robustpeft.study.recipe import Recipe, blanks, with_settings
from robustpeft.types import to_plain

__all__ = ["Arm", "Cell", "arms_of", "refuse_blanks"]

_LAYOUT = 1  # of what is hashed, and of what lies in the store under it


@dataclass(frozen=True)
class Cell:
    """One experiment: what is tuned, and how it is judged.

    Args:
        recipe: Everything but the audit.
        audit: On the test images; None for a trial, which never sees them.
        title: For people; the result does not depend on it.
    """

    recipe: Recipe
    audit: AuditPlan | None
    title: str = field(default="", compare=False)

    @cached_property
    def identity(self) -> str:
        """The hash of everything that the result depends on: what has the same identity is never run twice."""
        plain = {"layout": _LAYOUT, **self.plain()}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]

    def plain(self) -> dict[str, Any]:
        """Return the recipe and the audit as JSON has them."""
        return {"recipe": to_plain(self.recipe, AXES), "audit": to_plain(self.audit, AXES)}


@dataclass(frozen=True)
class Arm:
    """One combination of points.

    Args:
        grid: Name of its grid.
        label: Its points' labels, unique within the grid.
        group: Arms of one group are one curve over budgets.
        coordinates: Label of its point on every axis.
        recipe: With everything set but what is chosen, and the seed.
        select: Dotted keys to what is tried.
        seeds: Of its runs.
        select_seed: Of its trials.
        audit: How its runs are judged.
        budget: Trained parameters without the head for which its technique's size was solved; None if it was given.
    """

    grid: str
    label: str
    group: str
    coordinates: Mapping[str, str]
    recipe: Recipe
    select: Mapping[str, tuple[Any, ...]]
    seeds: tuple[int, ...]
    select_seed: int
    audit: AuditPlan
    budget: int | None = None

    def candidates(self) -> tuple[dict[str, Any], ...]:
        """Return all combinations of what is tried; one empty one if nothing is to be chosen."""
        return tuple(dict(zip(self.select, values, strict=True)) for values in itertools.product(*self.select.values()))

    def trials(self) -> tuple[tuple[dict[str, Any], Cell], ...]:
        """Return a cell for every candidate; none where there is only one candidate."""
        found = self.candidates()
        if len(found) == 1:
            return ()
        return tuple((settings, self._cell(settings, self.select_seed, None)) for settings in found)

    def runs(self, chosen: Mapping[str, Any]) -> tuple[Cell, ...]:
        """Return a cell for every seed, with what was chosen."""
        return tuple(self._cell(chosen, seed, self.audit) for seed in self.seeds)

    def _cell(self, settings: Mapping[str, Any], seed: int, audit: AuditPlan | None) -> Cell:
        tried = [f"{key.rpartition('.')[2]} {value}" for key, value in settings.items()]
        title = ", ".join([self.label, *tried, f"seed {seed}"])
        return Cell(replace(with_settings(self.recipe, settings), seed=seed), audit, title)


def arms_of(study: Study) -> tuple[Arm, ...]:
    """Return all arms of all grids, in the order of the file.

    Raises:
        UserError: For a key that no recipe has, a wrong value, arms with the same label, a headline that is not
            measured, or a grid whose arms have different numbers of trials.
    """
    base = study.base_recipe()
    arms = [arm for name, grid in study.all_grids().items() for arm in _arms(study, base, name, grid)]
    labels = [(arm.grid, arm.label) for arm in arms]
    for grid, label in labels:
        if labels.count((grid, label)) > 1:
            raise UserError(f"grid {grid!r} has two arms called {label!r}; give their points labels")
    if study.headline is not None and (wrong := [a for a in arms if study.headline not in a.audit.epsilons]):
        asked = ", ".join(f"{epsilon:g}" for epsilon in wrong[0].audit.epsilons)
        raise UserError(
            f"headline: {study.headline:g} is no epsilon of the audit of {wrong[0].label!r}; it has {asked}"
        )
    for contrast in study.comparisons:
        for label in (contrast.reference, *contrast.against):
            if not any(arm.grid == contrast.grid and _is_called(arm, label) for arm in arms):
                raise UserError(f"comparisons: grid {contrast.grid!r} has no arm {label!r}")
    stages: tuple[TransferStage | DistanceStage, ...] = (*study.transfers, *study.distances)
    for stage in stages:
        for label in stage.arms:
            if (stage.grid, label) not in labels:
                raise UserError(f"transfers and distances: grid {stage.grid!r} has no arm {label!r}")
    return tuple(arms)


def refuse_blanks(arms: Sequence[Arm]) -> None:
    """Raise, before anything is run, if something of the recipes is left to the person.

    Raises:
        UserError: Naming what.
    """
    keys = list(dict.fromkeys(key for arm in arms for key in blanks(arm.recipe)))
    if keys:
        given = " ".join(f"--set {key}=..." for key in keys)
        raise UserError(f"the study leaves {', '.join(keys)} to you: give it with {given}")


def _is_called(arm: Arm, label: str) -> bool:
    """Return whether this is the arm's label, or what remains of it without one axis, as within one data set."""
    places = list(arm.coordinates.values())
    return label in (arm.label, *(", ".join(places[:i] + places[i + 1 :]) for i in range(len(places))))


def _arms(study: Study, base: Recipe, name: str, grid: Grid) -> list[Arm]:
    axes = {axis: [point for raw in values for point in points_of(axis, raw)] for axis, values in grid.axes.items()}
    arms = []
    for points in itertools.product(*axes.values()):
        settings: dict[str, Any] = {**study.set, **grid.set}
        for point in points:
            settings |= point.settings
        recipe = with_settings(base, settings)
        label = ", ".join(point.label for point in points)
        budget = next((point.budget for point in points if point.budget is not None), None)
        if budget is not None:
            recipe = within_budget(recipe, budget, study.budget_tolerance, f"grid {name!r}, arm {label!r}")
        own = next((point.select for point in points if point.select is not None), None)
        select = own if own is not None else study.select if grid.select is None else grid.select
        arms.append(
            Arm(
                name,
                label,
                next((point.group for point in points if point.group), label),
                {axis: point.label for axis, point in zip(axes, points, strict=True)},
                replace(recipe, audit=None),
                {key: tuple(values) for key, values in select.items()},
                grid.seeds or study.seeds,
                study.select_seed,
                study.audit or recipe.audit or default_plan(recipe.threat if recipe.objective.adversarial else None),
                budget,
            )
        )
    counts = {arm.label: len(arm.candidates()) for arm in arms}
    if len(set(counts.values())) > 1:
        raise UserError(f"grid {name!r}: every arm needs the same number of trials; got {counts}")
    if 0 in counts.values():
        raise UserError(f"grid {name!r}: a key of select has nothing to try")
    return arms
