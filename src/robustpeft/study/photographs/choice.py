"""Which technique, against what, for how long? As much adversary as fits into the time, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from robustpeft.attacks import FGSM, PGD
from robustpeft.auditing import AuditPlan
from robustpeft.data import Augment, Folder
from robustpeft.data.partition import TEST_SHARE, VALIDATION_SHARE
from robustpeft.data.survey import Survey
from robustpeft.objectives import PgdAt
from robustpeft.pet import FullLoRA
from robustpeft.study.photographs.network import Network
from robustpeft.study.recipe import Recipe
from robustpeft.training import EpsilonRamp, TrainingPlan
from robustpeft.types import Linf

__all__ = ["Choice", "Conditions", "choose"]

# Epochs and steps of the adversary, most wanted first: more steps give an adversary that is harder to fool.
_LADDER = ((20, 10), (20, 5), (20, 3), (15, 3), (10, 3), (10, 2), (7, 2), (5, 2))
_WITHOUT_A_CLOCK = (20, 5)
_SLACK = 1.25  # validation, decoding, the branches' own cost: a dry run measures them, this does not
_LEAST_IMAGES = 64


@dataclass(frozen=True)
class Conditions:
    """What the choice depends on.

    Args:
        hardware: ``cpu``, ``mps`` or ``cuda``.
        minutes: For tuning.
        seconds_a_pass: A forward and a backward of one image there; None if that is not this machine.
        epsilon: In pixel units.
    """

    hardware: str
    minutes: float
    seconds_a_pass: float | None
    epsilon: float


@dataclass(frozen=True)
class Choice:
    """A recipe and why it is so.

    Args:
        recipe: What to run.
        reasons: By dotted key of the recipe.
        minutes: How long tuning takes, about; None if it was not measured.
    """

    recipe: Recipe
    reasons: Mapping[str, str] = field(default_factory=dict)
    minutes: float | None = None


def choose(survey: Survey, network: Network, conditions: Conditions) -> Choice:
    """Return a recipe for the photographs of a survey."""
    images = _to_train_on(survey)
    epochs, steps, used, why = _fitted(images, len(survey.content.classes), conditions)
    batch = min(64 if conditions.hardware == "cuda" else 16, max(2, used // 8))
    large = conditions.hardware == "cuda"
    recipe = Recipe(
        backbone=network.backbone,
        data=Folder(str(survey.root.resolve()), skip_broken=bool(survey.broken)),
        method=FullLoRA(r=24 if large else 8),
        objective=PgdAt(PGD(steps=steps, keep="last")),
        threat=Linf(conditions.epsilon),
        training=TrainingPlan(
            epochs=epochs,
            batch_size=batch,
            learning_rate=3e-3,
            precision="auto" if large else "float32",
            epsilon_ramp=EpsilonRamp(0.0, 0.5),
            validations=min(5, epochs),
            selection_attack=PGD(steps=10 if large else 5),
            selection_images=500 if large else 100,
            train_images=used if used < images else None,
        ),
        augment=Augment(),
        audit=AuditPlan(
            epsilons=tuple(conditions.epsilon * share for share in (0.25, 0.5, 1.0)),
            attacks=(FGSM(), PGD(steps=20), PGD(steps=20, loss="margin")),
            images=1000 if large else 100,
            batch_size=128 if large else 32,
        ),
        start=network.start,
    )
    reasons = {
        "backbone.name": network.reason,
        "method.r": "24 as in the large recipes that ship" if large else "8 as in the recipes that ship",
        "objective.attack": why,
        "training.train_images": why,
    }
    return Choice(recipe, reasons, _minutes(used, epochs, steps, conditions))


def _to_train_on(survey: Survey) -> int:
    """Return how many photographs there will be to train on."""
    content = survey.content
    if "train" not in content.split_names:
        return round(len(content.images) * (1 - VALIDATION_SHARE - TEST_SHARE))
    pool = sum(image.split == "train" for image in content.images)
    missing = {"validation": VALIDATION_SHARE, "test": TEST_SHARE}.items()
    return round(pool * (1 - sum(share for name, share in missing if name not in content.split_names)))


def _fitted(images: int, classes: int, conditions: Conditions) -> tuple[int, int, int, str]:
    """Return epochs, steps, photographs to train on, and why."""
    if conditions.seconds_a_pass is None:
        epochs, steps = _WITHOUT_A_CLOCK
        return epochs, steps, images, f"not timed: this machine has no {conditions.hardware}; --dry-run there tells"
    for epochs, steps in _LADDER:
        if (needed := _minutes(images, epochs, steps, conditions) or 0.0) <= conditions.minutes:
            return epochs, steps, images, _because(images, epochs, steps, needed, conditions)
    epochs, steps = _LADDER[-1]
    one = _minutes(1, epochs, steps, conditions) or math.inf
    used = min(images, max(int(conditions.minutes / one), _LEAST_IMAGES, 8 * classes))
    needed = _minutes(used, epochs, steps, conditions) or 0.0
    said = _because(used, epochs, steps, needed, conditions)
    return epochs, steps, used, said if needed <= conditions.minutes else f"{said}; fewer would teach nothing"


def _minutes(images: int, epochs: int, steps: int, conditions: Conditions) -> float | None:
    if conditions.seconds_a_pass is None:
        return None
    return _SLACK * images * epochs * (steps + 1) * conditions.seconds_a_pass / 60


def _because(images: int, epochs: int, steps: int, minutes: float, conditions: Conditions) -> str:
    each = conditions.seconds_a_pass or 0.0
    return (
        f"{images} photographs x {epochs} epochs x {steps + 1} passes of {each:.2g} s, and a quarter for the rest, "
        f"are about {_time(minutes)} of your {_time(conditions.minutes)}"
    )


def _time(minutes: float) -> str:
    """Return for example ``12 minutes`` or ``1.5 hours``."""
    return f"{minutes:.2g} minutes" if minutes < 99.5 else f"{minutes / 60:.3g} hours"
