"""Which experiments, where do they run, what did they leave behind? The only place that composes."""

from robustpeft.study.audit_folder import audit_folder
from robustpeft.study.audit_model import audit, default_plan, describe_subject
from robustpeft.study.axes import AXES
from robustpeft.study.device import find_device
from robustpeft.study.dry_run import dry_run
from robustpeft.study.export import Exported, export
from robustpeft.study.find_learning_rate import find_learning_rate
from robustpeft.study.gate import gate
from robustpeft.study.learning_rates import RateSearch, RateTrial
from robustpeft.study.policy import Policy, read_policy
from robustpeft.study.predict import Prediction, predict, write_predictions
from robustpeft.study.price import Price, mcnemar, price
from robustpeft.study.pull import Pulled, offered, pull
from robustpeft.study.push import Pushed, push
from robustpeft.study.recipe import Recipe, dump_recipe, read_recipe, shipped_recipes
from robustpeft.study.run_directory import Run, load
from robustpeft.study.save_attack import save_attack
from robustpeft.study.targets import Facts
from robustpeft.study.targets.introduce import introduce
from robustpeft.study.transfer import transfer
from robustpeft.study.tune import tune, tune_recipe
from robustpeft.study.verify import verify, verify_run

__all__ = [
    "AXES",
    "Exported",
    "Policy",
    "Facts",
    "Prediction",
    "Price",
    "Pulled",
    "Pushed",
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
    "gate",
    "introduce",
    "load",
    "mcnemar",
    "offered",
    "predict",
    "price",
    "read_policy",
    "pull",
    "push",
    "read_recipe",
    "save_attack",
    "shipped_recipes",
    "transfer",
    "tune",
    "tune_recipe",
    "verify",
    "verify_run",
    "write_predictions",
]
