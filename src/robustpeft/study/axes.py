"""Which axes does an experiment have, and what stands on each?"""

from __future__ import annotations

from robustpeft.attacks import ATTACK_AXIS
from robustpeft.data import DATASETS, DataSource
from robustpeft.objectives import OBJECTIVE_AXIS
from robustpeft.perturbations import PERTURBATIONS, Perturbation
from robustpeft.pet import METHOD_AXIS
from robustpeft.types import THREATS, Axis, Threat

__all__ = ["AXES"]

AXES = (
    METHOD_AXIS,
    ATTACK_AXIS,
    OBJECTIVE_AXIS,
    Axis(Perturbation, PERTURBATIONS, "perturbation"),
    Axis(Threat, THREATS, "threat", tag="norm"),
    Axis(DataSource, DATASETS, "data set", tag="source"),
)
"""Everything that a recipe may name."""
