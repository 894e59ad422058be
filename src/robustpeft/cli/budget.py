"""What would every technique be within one budget of trained parameters?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustpeft.errors import UserError

if TYPE_CHECKING:
    from robustpeft.backbones import ImageClassifier
    from robustpeft.pet import PETMethod

__all__ = ["BudgetRow", "budget_rows"]


@dataclass(frozen=True)
class BudgetRow:
    """One technique within the budget.

    Args:
        name: Its name in the table of methods.
        size: What was solved for, for example ``r=8``, or why there is nothing.
        parameters: Trained parameters without the head; None if it cannot be used.
        share: Of the parameters of the backbone without its heads.
    """

    name: str
    size: str
    parameters: int | None = None
    share: float | None = None


def budget_rows(backbone: str, budget: int) -> list[BudgetRow]:
    """Return every technique in the size whose trained parameters come nearest to `budget` from below.

    Args:
        backbone: ``digits_vit`` or any of timm's names; only its shapes are made, no weights are read.
        budget: Trained parameters without the head.
    """
    import torch

    from robustpeft.backbones import Backbone
    from robustpeft.pet import METHODS, Full

    with torch.device("meta"):
        model = Backbone(backbone, weights=False).load()
    total = Full().count(model)
    return [_row(name, cls, model, budget, total) for name, cls in METHODS.items()]


def _row(name: str, cls: type[PETMethod], model: ImageClassifier, budget: int, total: int) -> BudgetRow:
    from robustpeft.pet.budget import size_field, solve_budget

    try:
        method = cls()
    except (TypeError, UserError):  # a field without a default
        return BudgetRow(name, "depends on its fields")
    field = size_field(method)
    try:
        if field is not None:
            method = solve_budget(method, model, budget)
        count = method.count(model)
    except UserError as error:
        return BudgetRow(name, str(error))
    said = f"{field}={getattr(method, field)}" if field else f"fixed{', above the budget' if count > budget else ''}"
    return BudgetRow(name, said, count, count / total)
