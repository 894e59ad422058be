"""Which technique, against what, for how long? As much adversary as fits into the time, and why."""

from __future__ import annotations

import dataclasses
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
_SLACK = 1.25  # decoding, the branches' own cost: a dry run measures them, this does not
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
class _Course:
    """How tuning goes, as far as its time depends on it.

    Args:
        images: Photographs to train on.
        epochs: Times that each is learnt from.
        steps: Of the adversary.
        looks: How often the validation photographs are looked at.
        looked_at: At how many of them.
        look_steps: Of the adversary then.
    """

    images: int
    epochs: int
    steps: int
    looks: int
    looked_at: int
    look_steps: int

    def minutes(self, seconds_a_pass: float) -> float:
        """Return how long it takes, about, if a forward and a backward of one image take so many seconds."""
        learning = self.images * self.epochs * (self.steps + 1)
        looking = self.looks * self.looked_at * (self.look_steps + 1)
        return _SLACK * (learning + looking) * seconds_a_pass / 60


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
    images, validation = _to_train_on(survey), _to_validate_on(survey)
    course, why = _fitted(images, validation, len(survey.content.classes), conditions)
    used = course.images
    batch = min(64 if conditions.hardware == "cuda" else 16, max(2, used // 8))
    large = conditions.hardware == "cuda"
    recipe = Recipe(
        backbone=network.backbone,
        data=Folder(str(survey.root.resolve()), skip_broken=bool(survey.broken)),
        method=FullLoRA(r=24 if large else 8),
        objective=PgdAt(PGD(steps=course.steps, keep="last")),
        threat=Linf(conditions.epsilon),
        training=TrainingPlan(
            epochs=course.epochs,
            batch_size=batch,
            learning_rate=3e-3,
            precision="auto" if large else "float32",
            epsilon_ramp=EpsilonRamp(0.0, 0.5),
            validations=course.looks,
            selection_attack=PGD(steps=course.look_steps),
            selection_images=course.looked_at,
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
    each = conditions.seconds_a_pass
    return Choice(recipe, reasons, None if each is None else course.minutes(each))


def _to_train_on(survey: Survey) -> int:
    """Return how many photographs there will be to train on."""
    content = survey.content
    if "train" not in content.split_names:
        return round(len(content.images) * (1 - VALIDATION_SHARE - TEST_SHARE))
    pool = sum(image.split == "train" for image in content.images)
    missing = {"validation": VALIDATION_SHARE, "test": TEST_SHARE}.items()
    return round(pool * (1 - sum(share for name, share in missing if name not in content.split_names)))


def _to_validate_on(survey: Survey) -> int:
    """Return how many photographs there will be to choose the best epoch on."""
    content = survey.content
    if "validation" in content.split_names:
        return sum(image.split == "validation" for image in content.images)
    pool = [image for image in content.images if image.split in ("", "train")]
    return round(len(pool) * VALIDATION_SHARE)


def _fitted(images: int, validation: int, classes: int, conditions: Conditions) -> tuple[_Course, str]:
    """Return the course that the time allows, and why."""
    large, each = conditions.hardware == "cuda", conditions.seconds_a_pass
    looked_at, look_steps = (500, 10) if large else (100, 5)
    if each is None:
        epochs, steps = _WITHOUT_A_CLOCK
        course = _Course(images, epochs, steps, min(5, epochs), looked_at, look_steps)
        return course, f"not timed: this machine has no {conditions.hardware}; --dry-run there tells"
    for epochs, steps in _LADDER:
        course = _Course(images, epochs, steps, min(5, epochs), min(looked_at, max(validation, 1)), look_steps)
        if course.minutes(each) <= conditions.minutes:
            return dataclasses.replace(course, looked_at=looked_at), _because(course, each, conditions)
    # Less to learn from, and fewer looks, or looking would take longer than learning.
    few = dataclasses.replace(course, images=1, looks=2, looked_at=min(32, max(validation, 1)))
    looking = dataclasses.replace(few, images=0).minutes(each)
    fitting = int((conditions.minutes - looking) / (few.minutes(each) - looking))
    course = dataclasses.replace(few, images=min(images, max(fitting, _LEAST_IMAGES, 8 * classes)))
    said = _because(course, each, conditions)
    return course, said if course.minutes(each) <= conditions.minutes else f"{said}; fewer would teach nothing"


def _because(course: _Course, each: float, conditions: Conditions) -> str:
    return (
        f"{course.images} photographs x {course.epochs} epochs x {course.steps + 1} passes of {each:.2g} s, "
        f"{course.looks} looks at {course.looked_at} others, and a quarter for the rest, are about "
        f"{_time(course.minutes(each))} of your {_time(conditions.minutes)}"
    )


def _time(minutes: float) -> str:
    """Return for example ``12 minutes`` or ``1.5 hours``."""
    return f"{minutes:.2g} minutes" if minutes < 99.5 else f"{minutes / 60:.3g} hours"
