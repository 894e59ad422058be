"""Which experiments, where do they run, what did they leave behind? The only place that composes."""

from robustpeft.study.audit_folder import audit_folder
from robustpeft.study.audit_model import audit, default_plan, describe_subject
from robustpeft.study.axes import AXES
from robustpeft.study.device import find_device
from robustpeft.study.dry_run import dry_run
from robustpeft.study.export import Exported, export
from robustpeft.study.find_learning_rate import find_learning_rate
from robustpeft.study.learning_rates import RateSearch, RateTrial
from robustpeft.study.predict import Prediction, predict, write_predictions
from robustpeft.study.price import Price, mcnemar, price
from robustpeft.study.recipe import Recipe, dump_recipe, read_recipe, shipped_recipes
from robustpeft.study.run_directory import Run, load
from robustpeft.study.save_attack import save_attack
from robustpeft.study.targets import Facts
from robustpeft.study.targets.introduce import introduce
from robustpeft.study.transfer import transfer
from robustpeft.study.tune import tune, tune_recipe

__all__ = [
    "AXES",
    "Exported",
    "Facts",
    "Prediction",
    "Price",
    "RateSearch",
    "RateTrial",
    "Recipe",
    "Run",
    "audit",
    "audit_folder",
    "default_plan",
    "describe_subject",
    "dry_run",
    "dump_recipe",
    "export",
    "find_device",
    "find_learning_rate",
    "introduce",
    "load",
    "mcnemar",
    "predict",
    "price",
    "read_recipe",
    "save_attack",
    "shipped_recipes",
    "transfer",
    "tune",
    "tune_recipe",
    "write_predictions",
]
