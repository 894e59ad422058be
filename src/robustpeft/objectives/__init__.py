"""What does tuning minimise?"""

from collections.abc import Mapping

from robustpeft.objectives.base import Loss, Objective
from robustpeft.objectives.natural import Natural
from robustpeft.objectives.pgd_at import PgdAt
from robustpeft.types import Axis

__all__ = ["OBJECTIVES", "OBJECTIVE_AXIS", "Loss", "Natural", "Objective", "PgdAt"]

OBJECTIVES: Mapping[str, type[Objective]] = {"natural": Natural, "pgd_at": PgdAt}

OBJECTIVE_AXIS = Axis(Objective, OBJECTIVES, "objective")
