"""Which experiments, where do they run, what did they leave behind? The only place that composes."""

from robustpeft.study.audit_model import audit, default_plan, describe_subject
from robustpeft.study.axes import AXES
from robustpeft.study.device import find_device
from robustpeft.study.export import Exported, export
from robustpeft.study.predict import Prediction, predict, write_predictions
from robustpeft.study.recipe import Recipe, dump_recipe, read_recipe, shipped_recipes
from robustpeft.study.run_directory import Run, load
from robustpeft.study.tune import tune, tune_recipe

__all__ = [
    "AXES",
    "Exported",
    "Prediction",
    "Recipe",
    "Run",
    "audit",
    "default_plan",
    "describe_subject",
    "dump_recipe",
    "export",
    "find_device",
    "load",
    "predict",
    "read_recipe",
    "shipped_recipes",
    "tune",
    "tune_recipe",
    "write_predictions",
]
