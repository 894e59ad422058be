"""What would a recipe cost? It is opened and a few of its steps are measured; no run is made."""

from __future__ import annotations

from robustpeft.study.experiment import attach
from robustpeft.study.offline import estimating
from robustpeft.study.recipe import Recipe
from robustpeft.study.tune import open_recipe
from robustpeft.training import Cost, measure_cost

__all__ = ["dry_run"]


def dry_run(recipe: Recipe, *, device: str = "auto", steps: int = 3) -> Cost:
    """Return trained parameters, memory, time and disk of tuning what a recipe describes; no run is written.

    Nothing is fetched. A data source may leave what it always leaves, such as the split of a folder that is new to it.

    Args:
        recipe: What would be tuned.
        device: Where it would run.
        steps: Steps that are timed.

    Raises:
        UserError: As tuning it would; if its images are not on this machine.
    """
    with estimating(recipe) as here:
        model, images, asked = open_recipe(here, device)
    handle, task = attach(model, images, asked)
    try:
        return measure_cost(task, steps=steps)
    finally:
        handle.detach()
