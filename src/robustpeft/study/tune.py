"""How does a frozen model become a tuned one? Data, technique, objective and threat meet here."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustpeft.backbones import ImageClassifier
from robustpeft.data import Augment, ImageData, Split, image_transform, load_data
from robustpeft.errors import UserError
from robustpeft.objectives import Objective, PgdAt
from robustpeft.pet import AdapterHandle, FullLoRA, PETMethod
from robustpeft.records import write_json, write_text
from robustpeft.study.axes import AXES
from robustpeft.study.card import model_card
from robustpeft.study.device import find_device
from robustpeft.study.recipe import Recipe, dump_recipe
from robustpeft.study.run_directory import TRAINED_IDS_FILE, Run, prepare_directory, write_sidecar
from robustpeft.training import Fit, Observer, Task, TrainingPlan, fit, is_first_process
from robustpeft.types import Linf, Threat, content_ids, to_plain

__all__ = ["tune", "tune_recipe"]

_log = logging.getLogger(__name__)
_EXAMPLES = {
    PETMethod: "FullLoRA(r=8)",
    Objective: "PgdAt()",
    Threat: "Linf(8 / 255)",
    TrainingPlan: "TrainingPlan(epochs=5)",
}


def tune(  # noqa: PLR0913 - the axes of an experiment, each with its default
    model: ImageClassifier,
    data: Any,
    *,
    output: str | Path,
    method: PETMethod | None = None,
    objective: Objective | None = None,
    threat: Threat | None = None,
    training: TrainingPlan | None = None,
    augment: Augment | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    observer: Observer | None = None,
) -> Run:
    """Attach a technique to a frozen model, tune it, keep what was best on validation images, and save the run.

    Args:
        model: From `load_backbone` or `wrap`; changed in place.
        data: A name, a folder, a Parquet file, a torch data set, a `DataSource` or loaded `ImageData`.
        output: Directory of the run; must be new or empty unless resuming or overwriting.
        method: FullLoRA by default.
        objective: PGD adversarial training by default.
        threat: Linf with 8/255 by default.
        training: How the parameters are moved.
        augment: How training images are varied; what suits the data set by default.
        seed: Of all randomness.
        resume: Go on from the last checkpoint in `output`; start anew if there is none.
        overwrite: Delete the run that is there.
        observer: Called after every step.

    Raises:
        UserError: For input that cannot be used; the message says what and where.
        KeyboardInterrupt: On Ctrl-C; the last checkpoint is kept and `resume` goes on from it.
    """
    if not isinstance(model, ImageClassifier):
        raise UserError(f"tune takes a model from rp.load_backbone or rp.wrap; got {type(model).__name__}")
    _check_kinds({PETMethod: method, Objective: objective, Threat: threat, TrainingPlan: training})
    asked = _Asked(
        method or FullLoRA(),
        objective or PgdAt(),
        threat or Linf(8 / 255),
        training or TrainingPlan(),
        augment,
        seed,
    )
    images = data if isinstance(data, ImageData) else load_data(data, image_size=model.image_size)
    mode = _Mode(Path(output), resume, overwrite, observer)
    return _tune(model, images, asked, mode, {})


def tune_recipe(
    recipe: Recipe,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    observer: Observer | None = None,
) -> Run:
    """Tune what a recipe describes and save the resolved recipe beside the result.

    The head gets as many classes as the data have, unless the recipe says otherwise.
    """
    where = find_device(device)
    _refuse_blanks(to_plain(recipe, AXES))
    model, images = load_pair(recipe)
    model.to(where)
    asked = _Asked(recipe.method, recipe.objective, recipe.threat, recipe.training, recipe.augment, recipe.seed)
    mode = _Mode(Path(output), resume, overwrite, observer)
    return _tune(model, images, asked, mode, {"recipe.yaml": dump_recipe(recipe)})


def _refuse_blanks(plain: Any, where: str = "") -> None:
    """Raise if the recipe still has a place that only the person can fill."""
    if isinstance(plain, str) and "CHANGE-ME" in plain:
        raise UserError(f"the recipe leaves {where} to you: give it, for example {where}=PATH behind the recipe's name")
    if isinstance(plain, dict):
        for key, value in plain.items():
            _refuse_blanks(value, f"{where}.{key}" if where else key)


def load_pair(recipe: Recipe) -> tuple[ImageClassifier, ImageData]:
    """Return the frozen model and the images, made for each other: one image size, one number of classes."""
    model = recipe.backbone.load()
    images = recipe.data.load(model.image_size)
    if recipe.backbone.num_classes is None and model.num_classes != len(images.classes):
        model = dataclasses.replace(recipe.backbone, num_classes=len(images.classes)).load()
    return model, images


@dataclass(frozen=True)
class _Asked:
    """What is tuned, against what, how."""

    method: PETMethod
    objective: Objective
    threat: Threat
    training: TrainingPlan
    augment: Augment | None
    seed: int


@dataclass(frozen=True)
class _Mode:
    """Where the run lies, and what becomes of one that lies there."""

    directory: Path
    resume: bool
    overwrite: bool
    observer: Observer | None


def _tune(model: ImageClassifier, images: ImageData, asked: _Asked, mode: _Mode, files: dict[str, str]) -> Run:
    """Tune, and save the run with `files` (text by name), which are there from the first step on."""
    _check_images(model, images)
    for warning in images.warnings:
        _log.warning("%s: %s", images.name, warning)
    handle = asked.method.attach(model, seed=asked.seed)
    try:
        plan = asked.training
        task = Task(
            handle,
            _at_most(plan.train_images, images.train, asked.seed),
            _at_most(plan.selection_images, images.validation, asked.seed),
            asked.objective,
            asked.threat,
            plan,
            asked.augment or images.default_augment,
            asked.seed,
            identity=_identity(model, images, asked.method),
        )
        if is_first_process():  # last of the checks: it may delete what is there
            prepare_directory(mode.directory, resume=mode.resume, overwrite=mode.overwrite)
            for name, text in files.items():
                if not (mode.resume and (mode.directory / name).is_file()):  # a refused resume must not change them
                    write_text(mode.directory / name, text)
        result = fit(task, mode.directory, resume=mode.resume, observer=mode.observer)
    except BaseException:
        handle.detach()
        raise
    model.classes = images.classes
    model.threat = asked.threat if asked.objective.adversarial else None
    model.transform = image_transform(images.image_size)
    model.trained_ids = frozenset(task.train.ids.tolist())
    model.tuning = _facts(task, images, result)
    if is_first_process():
        _save(mode.directory, handle)
        write_json(mode.directory / TRAINED_IDS_FILE, task.train.ids.tolist())
    return Run(mode.directory, model.eval(), model.tuning)


def _identity(model: ImageClassifier, images: ImageData, method: PETMethod) -> str:
    """Return what a resumed run must share besides its plan: technique, frozen weights, splits, and some pixels."""
    pixels = [
        content_ids(next(split.batches(min(64, len(split)))).images).tolist()
        for split in (images.train, images.validation)
    ]
    return repr((method, model.name, model.digest(), images.train.digest, images.validation.digest, pixels))


def _check_kinds(given: dict[type, Any]) -> None:
    for kind, value in given.items():
        if value is not None and not isinstance(value, kind):
            raise UserError(f"tune takes a value of {kind.__name__} here, as from rp.{_EXAMPLES[kind]}; got {value!r}")


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


def _facts(task: Task, images: ImageData, result: Fit) -> dict[str, Any]:
    return {
        "objective": to_plain(task.objective, AXES),
        "training": to_plain(task.plan, AXES),
        "seed": task.seed,
        "data": images.name,
        "data_note": images.note,
        "preprocessing": images.preprocessing,
        "split_digests": {name: split.digest for name, split in images.splits.items()},
        "num_train": len(task.train),
        "num_trained": sum(p.numel() for p in task.tunable.named_parameters().values()),
        "best_epoch": result.best_epoch,
        "steps": result.steps,
        "seconds": round(result.seconds, 3),
        "validation": {"n": result.scores.n, "clean": result.scores.clean, "robust": result.scores.robust},
    }


def _save(directory: Path, handle: AdapterHandle) -> None:
    """Write the adapter, then what it belongs to, then the card: a run with a sidecar is complete."""
    handle.save(directory)
    write_text(directory / "README.md", model_card(handle))
    write_sidecar(directory, handle.model)
