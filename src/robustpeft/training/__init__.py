"""How do the parameters move?"""

from robustpeft.training.cost import Cost, measure_cost
from robustpeft.training.fit import Fit, Task, fit
from robustpeft.training.phases import Phase
from robustpeft.training.plan import TrainingPlan
from robustpeft.training.processes import is_first_process
from robustpeft.training.protocols import Observer, Progress, Tunable
from robustpeft.training.schedules import AttackRamp, EpsilonRamp
from robustpeft.training.stepper import NotFiniteError
from robustpeft.training.validation import Scores

__all__ = [
    "AttackRamp",
    "Cost",
    "EpsilonRamp",
    "Fit",
    "NotFiniteError",
    "Observer",
    "Phase",
    "Progress",
    "Scores",
    "Task",
    "TrainingPlan",
    "Tunable",
    "fit",
    "is_first_process",
    "measure_cost",
]
