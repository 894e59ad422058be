"""What does tuning minimise?"""

from collections.abc import Mapping

from robustpeft.objectives.ard_prm import ARDPRM
from robustpeft.objectives.awp import AWP
from robustpeft.objectives.base import Loss, Objective
from robustpeft.objectives.fare import FARE
from robustpeft.objectives.lesson import Lesson, Moment, Targets
from robustpeft.objectives.mart import MART
from robustpeft.objectives.mix import Mix
from robustpeft.objectives.natural import Natural
from robustpeft.objectives.noisy import Noisy
from robustpeft.objectives.overfitting import Look, catastrophic
from robustpeft.objectives.pgd_at import PgdAt
from robustpeft.objectives.single_step import SingleStep
from robustpeft.objectives.smoothing import Smoothing
from robustpeft.objectives.trades import TRADES
from robustpeft.types import Axis

__all__ = [
    "ARDPRM",
    "AWP",
    "FARE",
    "MART",
    "OBJECTIVES",
    "OBJECTIVE_AXIS",
    "TRADES",
    "Lesson",
    "Look",
    "Loss",
    "Mix",
    "Moment",
    "Natural",
    "Noisy",
    "Objective",
    "PgdAt",
    "SingleStep",
    "Smoothing",
    "Targets",
    "catastrophic",
]

OBJECTIVES: Mapping[str, type[Objective]] = {
    "natural": Natural,
    "pgd_at": PgdAt,
    "trades": TRADES,
    "mart": MART,
    "single_step": SingleStep,
    "ard_prm": ARDPRM,
    "fare": FARE,
    "noisy": Noisy,
    "awp": AWP,
    "smoothing": Smoothing,
    "mix": Mix,
}

OBJECTIVE_AXIS = Axis(Objective, OBJECTIVES, "objective")
