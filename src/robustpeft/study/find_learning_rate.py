"""How is the learning rate of one technique found? By tuning it shortly at each of a few, and taking it off again."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustpeft.backbones import ImageClassifier
from robustpeft.data import ImageData, load_data
from robustpeft.objectives import Objective, PgdAt
from robustpeft.pet import FullLoRA, PETMethod
from robustpeft.study.experiment import Experiment, attach
from robustpeft.study.learning_rates import RATES, RateSearch, search_rates
from robustpeft.training import Fit, Observer, TrainingPlan, fit
from robustpeft.types import Linf, Threat

__all__ = ["find_learning_rate", "find_rate_of"]


def find_learning_rate(  # noqa: PLR0913 - the axes of an experiment as in `tune`, and the search
    model: ImageClassifier,
    data: Any,
    *,
    output: str | Path,
    method: PETMethod | None = None,
    objective: Objective | None = None,
    threat: Threat | None = None,
    training: TrainingPlan | None = None,
    seed: int = 0,
    rates: Sequence[float] = RATES,
    share: float = 0.25,
) -> RateSearch:
    """Return a few short trials of one technique on the validation images, and the best one's learning rate.

    Every technique gets the same rates by default, so that the number of trials is the same for all. The test images
    are not read, and the model is given back as it was.

    Args:
        model: From `load_backbone` or `wrap`.
        data: As for `tune`.
        output: Directory; all trials stand in its ``learning_rates.json``, and those that stand there already are not
            run again.
        method: FullLoRA by default.
        objective: PGD adversarial training by default.
        threat: Linf with 8/255 by default.
        training: Of the whole run; a trial has a share of its epochs.
        seed: Of all trials.
        rates: What is tried.
        share: Of the epochs, in (0, 1].

    Raises:
        UserError: For input that cannot be used, or if no rate will do.
    """
    asked = Experiment(
        method or FullLoRA(), objective or PgdAt(), threat or Linf(8 / 255), training or TrainingPlan(), seed=seed
    )
    images = data if isinstance(data, ImageData) else load_data(data, image_size=model.image_size)
    return find_rate_of(model, images, asked, Path(output), rates=rates, share=share)


def find_rate_of(
    model: ImageClassifier,
    images: ImageData,
    asked: Experiment,
    directory: Path,
    *,
    rates: Sequence[float] = RATES,
    share: float = 0.25,
    observer: Observer | None = None,
) -> RateSearch:
    """Return the search for an experiment; see `find_learning_rate`."""
    handle, task = attach(model, images, asked)
    handle.detach()
    identity = hashlib.sha256(f"{task.identity}{asked!r}".encode()).hexdigest()[:16]

    def run(plan: TrainingPlan, where: Path) -> Fit:
        handle, task = attach(model, images, dataclasses.replace(asked, training=plan))
        try:
            return fit(task, where, resume=True, observer=_named(observer, f"learning rate {plan.learning_rate:g}"))
        finally:
            handle.detach()

    return search_rates(run, asked.training, directory, identity=identity, rates=rates, share=share, seed=asked.seed)


def _named(observer: Observer | None, trial: str) -> Observer | None:
    """Return the observer, told which trial it is in place of the phase."""
    return None if observer is None else lambda progress: observer(dataclasses.replace(progress, phase=trial))
