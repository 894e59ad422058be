"""How do the parameters move?"""

from robustpeft.training.fit import Fit, Task, fit
from robustpeft.training.plan import EpsilonRamp, TrainingPlan
from robustpeft.training.processes import is_first_process
from robustpeft.training.protocols import Observer, Progress, Tunable
from robustpeft.training.validation import Scores

__all__ = [
    "EpsilonRamp",
    "Fit",
    "Observer",
    "Progress",
    "Scores",
    "Task",
    "TrainingPlan",
    "Tunable",
    "fit",
    "is_first_process",
]
