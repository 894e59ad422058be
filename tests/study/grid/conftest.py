"""A small study, and an experiment that costs nothing and is robust as its rate and seed say."""

import pytest

from robustpeft.study.grid import CellResult, Study


def quick(cell, directory, device):
    """Robust validation images peak at a rate of 0.02; every call leaves a line in ``calls``."""
    with (directory / "calls").open("a") as file:
        file.write("called\n")
    rate, plan = cell.recipe.training.learning_rate, cell.recipe.training
    if plan.epochs == 13:
        raise ValueError("thirteen epochs\nare too many")
    robust = 50 - round(1000 * abs(rate - 0.02)) + cell.recipe.seed
    return CellResult(1000, 100, 10, 100, 95, robust, 1.5, diverged="not finite" if rate >= 1 else "")


@pytest.fixture
def perform():
    return quick


@pytest.fixture
def study():
    return Study(
        name="small",
        base="fulllora-digits",
        axes={"method": ("lora", {"name": "fulllora", "r": 3})},
        select={"training.learning_rate": (0.01, 0.02, 0.03)},
        audit=None,
    )
