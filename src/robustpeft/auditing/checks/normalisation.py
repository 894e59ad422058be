"""Is normalisation inside the model, and once? The clean accuracy tells: no other scale may suit the model better."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.question import Question
from robustpeft.errors import UserError
from robustpeft.records import Check, Rate

__all__ = ["clean_accuracy", "normalisation"]

_SIGNIFICANT = 9.0  # square of 3 standard deviations
_LARGER = 4
_DROP = 0.10
_TOLERANCE = 0.005
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CIFAR = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_NAMED = {"ImageNet's": _IMAGENET, "CIFAR's": _CIFAR, "0.5 / 0.5": _HALF}

NORMALISATION = Question(
    "normalisation",
    "The model normalises by itself, and once",
    "integrity",
    "Normalise inside the model, exactly once, with the mean and standard deviation it was trained with.",
)
CLEAN = Question(
    "clean_accuracy",
    "Clean accuracy is what it was when the model was tuned",
    "integrity",
    "Compare resizing, cropping, normalisation and class order with those of tuning.",
)


def normalisation(case: Case) -> Check:
    """Return whether images in [0, 1] as they are suit the model best of several scales.

    The others are: normalised outside (missing inside), its inverse (done twice inside), and 8-bit values. One of them
    is better if it wins at least 10 points more images of the sample, and by three standard deviations.

    Cost:
        8 forwards for every image of a sample four times the usual one.
    """
    sample = case.load(case.setting.split.take(_LARGER * case.effort.images, case.setting.seed))
    labels = sample.labels.cpu()
    own = _right(case, sample.images, labels)
    for name, change in _scales().items():
        other = _right(case, change(sample.images), labels)
        gained, lost = int((other & ~own).sum()), int((own & ~other).sum())
        if gained - lost >= _DROP * len(labels) and (gained - lost) ** 2 >= _SIGNIFICANT * (gained + lost):
            return NORMALISATION.fails(
                f"{int(own.sum())} of {len(labels)} images are recognised as they are, {int(other.sum())} {name}."
            )
    return NORMALISATION.passes(
        f"{int(own.sum())} of {len(labels)} images are recognised as they are, and no more on {len(_scales())} other "
        "scales."
    )


def clean_accuracy(case: Case) -> Check:
    """Return whether clean accuracy is within chance and 0.5 points of that on validation images when it was tuned."""
    labels = case.setting.split.labels
    now = Rate(int((case.clean.predictions == labels).sum()), len(labels))
    found = f"{now.count} of {now.n} right"
    if case.validation is None or not case.validation.n:
        chance = 1 / max(len(case.setting.classes), 1)
        if now.interval()[0] <= chance:
            return CLEAN.warns(f"{found}, no better than guessing among {len(case.setting.classes)} classes.")
        return CLEAN.skips(f"{found}; nothing is known of tuning to compare it with.")
    then = case.validation
    pooled = (now.count + then.count) / (now.n + then.n)
    deviation = (pooled * (1 - pooled) * (1 / now.n + 1 / then.n)) ** 0.5
    drop = then.fraction - now.fraction
    found += f"; {then.count} of {then.n} validation images when it was tuned."
    if drop <= 3 * deviation + _TOLERANCE:
        return CLEAN.passes(found)
    return CLEAN.fails(found) if drop > 3 * deviation + _DROP else CLEAN.warns(found)


def _right(case: Case, images: Tensor, labels: Tensor) -> Tensor:
    try:
        return case.setting.judge(images, labels).margins < 0
    except UserError:  # answers that are not finite: another scale need not suit the model
        return torch.zeros(len(images), dtype=torch.bool)


def _scales() -> Mapping[str, Callable[[Tensor], Tensor]]:
    scales: dict[str, Callable[[Tensor], Tensor]] = {"as 8-bit values": lambda images: 255 * images}
    for name, (mean, std) in _NAMED.items():
        scales[f"normalised with {name} mean and deviation before"] = _normalised(mean, std)
        scales[f"with {name} normalisation undone before"] = _undone(mean, std)
    return scales


def _normalised(mean: tuple[float, ...], std: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    return lambda images: (images - _row(mean, images)) / _row(std, images)


def _undone(mean: tuple[float, ...], std: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    return lambda images: images * _row(std, images) + _row(mean, images)


def _row(values: tuple[float, ...], images: Tensor) -> Tensor:
    return torch.tensor(values, device=images.device, dtype=images.dtype).reshape(1, 3, 1, 1)
