"""What stands before the first step? A technique attached to a frozen model, and the images it may see."""

from __future__ import annotations

from dataclasses import dataclass

from robustpeft.backbones import ImageClassifier
from robustpeft.data import Augment, ImageData, Split
from robustpeft.errors import UserError
from robustpeft.objectives import Objective
from robustpeft.pet import AdapterHandle, PETMethod
from robustpeft.training import Task, TrainingPlan
from robustpeft.types import Threat, content_ids

__all__ = ["Experiment", "attach"]


@dataclass(frozen=True)
class Experiment:
    """What is tuned, against what, how.

    Args:
        method: What is trained in the network's stead.
        objective: What tuning minimises.
        threat: The adversary.
        training: How the parameters are moved.
        augment: How training images are varied; None for what suits the data set.
        seed: Of all randomness.
        start: The run whose network the frozen weights are, where it is not the pretrained one.
        rate_search: How the learning rate was found, in words; None if it was given.
    """

    method: PETMethod
    objective: Objective
    threat: Threat
    training: TrainingPlan
    augment: Augment | None = None
    seed: int = 0
    start: str | None = None
    rate_search: str | None = None


def attach(model: ImageClassifier, images: ImageData, experiment: Experiment) -> tuple[AdapterHandle, Task]:
    """Return the attached technique and what is to be done with it; on an error nothing stays attached.

    Raises:
        UserError: If the images do not fit the model, or the technique does not.
    """
    _check_images(model, images)
    handle = experiment.method.attach(model, seed=experiment.seed)
    plan = experiment.training
    try:
        task = Task(
            handle,
            _at_most(plan.train_images, images.train, experiment.seed),
            _at_most(plan.selection_images, images.validation, experiment.seed),
            experiment.objective,
            experiment.threat,
            plan,
            experiment.augment or images.default_augment,
            experiment.seed,
            identity=_identity(model, images, experiment.method),
        )
    except BaseException:
        handle.detach()
        raise
    return handle, task


def _identity(model: ImageClassifier, images: ImageData, method: PETMethod) -> str:
    """Return what a resumed run must share besides its plan: technique, frozen weights, splits, and some pixels."""
    pixels = [
        content_ids(next(split.batches(min(64, len(split)))).images).tolist()
        for split in (images.train, images.validation)
    ]
    return repr((method, model.name, model.digest(), images.train.digest, images.validation.digest, pixels))


def _at_most(n: int | None, split: Split, seed: int) -> Split:
    return split if n is None else split.take(n, seed)


def _check_images(model: ImageClassifier, images: ImageData) -> None:
    for name in ("train", "validation"):
        if not len(images.splits[name]):
            raise UserError(f"{images.name} has no {name} images; one part is tuned on, another chooses the epoch")
    if model.num_classes is not None and model.num_classes != len(images.classes):
        raise UserError(
            f"the model answers with {model.num_classes} classes, {images.name} has {len(images.classes)}; "
            f"load the backbone with num_classes={len(images.classes)}"
        )
