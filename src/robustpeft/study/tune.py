"""How does a frozen model become a tuned one? Data, technique, objective and threat meet here."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustpeft.backbones import ImageClassifier
from robustpeft.data import Augment, ImageData, image_transform, load_data
from robustpeft.errors import UserError
from robustpeft.objectives import Objective, PgdAt
from robustpeft.pet import AdapterHandle, FullLoRA, PETMethod
from robustpeft.records import write_json, write_text
from robustpeft.study.axes import AXES
from robustpeft.study.device import find_device
from robustpeft.study.experiment import Experiment, attach
from robustpeft.study.find_learning_rate import find_rate_of
from robustpeft.study.recipe import Recipe, blanks, dump_recipe
from robustpeft.study.run_directory import RECIPE_FILE, TRAINED_IDS_FILE, Run, prepare_directory, write_sidecar
from robustpeft.study.start import keep_start, start_from
from robustpeft.training import Fit, Observer, Task, TrainingPlan, fit, is_first_process
from robustpeft.types import Linf, Threat, to_plain

__all__ = ["load_pair", "open_recipe", "tune", "tune_recipe"]

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
    asked = Experiment(
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
    find_rate: bool = False,
    device: str = "auto",
    observer: Observer | None = None,
) -> Run:
    """Tune what a recipe describes and save the resolved recipe beside the result.

    The head gets as many classes as the data have, unless the recipe says otherwise.

    Args:
        recipe: What to do.
        output: Directory of the run; must be new or empty unless resuming or overwriting.
        resume: Go on from the last checkpoint in `output`; start anew if there is none.
        overwrite: Delete the run that is there.
        find_rate: Search the learning rate first, and tune with the best one; the trials stand in
            ``learning_rates.json``.
        device: Where to run; ``auto`` for the best there is.
        observer: Called after every step, of trials too.
    """
    model, images, asked = open_recipe(recipe, device)
    mode = _Mode(Path(output), resume, overwrite, observer)
    if find_rate:
        handle, _ = attach(model, images, asked)  # before anything is deleted: does it fit at all?
        handle.detach()
        if is_first_process():
            prepare_directory(mode.directory, resume=resume, overwrite=overwrite)
        search = find_rate_of(model, images, asked, mode.directory, observer=observer)
        training = dataclasses.replace(asked.training, learning_rate=search.chosen)
        asked, recipe = dataclasses.replace(asked, training=training), dataclasses.replace(recipe, training=training)
        mode = dataclasses.replace(mode, resume=True, overwrite=False)
        asked = dataclasses.replace(asked, rate_search=search.summary)
    return _tune(model, images, asked, mode, {RECIPE_FILE: dump_recipe(recipe)})


def open_recipe(recipe: Recipe, device: str = "auto") -> tuple[ImageClassifier, ImageData, Experiment]:
    """Return the frozen model on its device, the images, and what is to be done with them.

    Raises:
        UserError: If the recipe still has a place that only the person can fill, or something it names is not there.
    """
    where = find_device(device)
    if blank := blanks(recipe):
        raise UserError(
            f"the recipe leaves {blank[0]} to you: give it, for example {blank[0]}=PATH behind the recipe's name"
        )
    model, images = load_pair(recipe)
    asked = Experiment(
        recipe.method,
        recipe.objective,
        recipe.threat,
        recipe.training,
        recipe.augment,
        recipe.seed,
        recipe.start,
    )
    return model.to(where), images, asked


def load_pair(recipe: Recipe) -> tuple[ImageClassifier, ImageData]:
    """Return the frozen model and the images, made for each other: one image size, one number of classes."""
    model = recipe.backbone.load()
    images = recipe.data.load(model.image_size)
    if recipe.backbone.num_classes is None and model.num_classes != len(images.classes):
        model = dataclasses.replace(recipe.backbone, num_classes=len(images.classes)).load()
    if recipe.start is not None:
        start_from(model, recipe.start)
    return model, images


@dataclass(frozen=True)
class _Mode:
    """Where the run lies, and what becomes of one that lies there."""

    directory: Path
    resume: bool
    overwrite: bool
    observer: Observer | None


def _tune(model: ImageClassifier, images: ImageData, asked: Experiment, mode: _Mode, files: dict[str, str]) -> Run:
    """Tune, and save the run with `files` (text by name), which are there from the first step on."""
    for warning in images.warnings:
        _log.warning("%s: %s", images.name, warning)
    handle, task = attach(model, images, asked)
    try:
        if is_first_process():  # last of the checks: it may delete what is there
            prepare_directory(mode.directory, resume=mode.resume, overwrite=mode.overwrite)
            for name, text in files.items():
                if not (mode.resume and (mode.directory / name).is_file()):  # a refused resume must not change them
                    write_text(mode.directory / name, text)
            if asked.start is not None:
                keep_start(model, mode.directory)
        result = fit(task, mode.directory, resume=mode.resume, observer=mode.observer)
    except BaseException:
        handle.detach()
        raise
    model.classes = images.classes
    model.threat = asked.threat if asked.objective.adversarial else None
    model.transform = image_transform(images.image_size)
    model.trained_ids |= frozenset(task.train.ids.tolist())
    model.tuning = _facts(task, images, result, asked)
    if is_first_process():
        _save(mode.directory, handle)
        write_json(mode.directory / TRAINED_IDS_FILE, sorted(model.trained_ids))
    return Run(mode.directory, model.eval(), model.tuning)


def _check_kinds(given: dict[type, Any]) -> None:
    for kind, value in given.items():
        if value is not None and not isinstance(value, kind):
            raise UserError(f"tune takes a value of {kind.__name__} here, as from rp.{_EXAMPLES[kind]}; got {value!r}")


def _facts(task: Task, images: ImageData, result: Fit, asked: Experiment) -> dict[str, Any]:
    facts: dict[str, Any] = {
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
    if result.collapsed:
        facts["collapsed"] = True
    if result.stopped:
        facts["stopped"] = "early: nothing got better"
    if result.micro_batch_size is not None:
        facts["micro_batch_size"] = result.micro_batch_size
    for name in ("start", "rate_search"):
        if (value := getattr(asked, name)) is not None:
            facts[name] = value
    return facts


def _save(directory: Path, handle: AdapterHandle) -> None:
    """Write the adapter, then what it belongs to, then the card: a run with a sidecar is complete."""
    handle.save(directory)
    write_sidecar(directory, handle.model)
