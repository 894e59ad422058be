"""What do several models make of one image, before and after something was done to it?

Each model is attacked by itself, with all that is known of it, so each has an adversarial image of its own; a
perturbation or corruption knows no model and is the same for all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from robustpeft.app.choices import Question
from robustpeft.attacks import Attack
from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.types import Classifier, Threat

__all__ = ["Demonstration", "Guess", "Observer", "Outcome", "Shown", "Verdict", "demonstrate", "expected_passes"]

Verdict = Literal["holds", "fooled", "wrong_before", "recovers", "keeps", "changes"]
_TOP = 5


@dataclass(frozen=True, eq=False)
class Shown:
    """The image.

    Args:
        image: Float (3, h, w) in [0, 1].
        label: Its true class; None if nobody said.
        id: Keys the randomness; None for a hash of the pixels.
    """

    image: Tensor
    label: int | None = None
    id: int | None = None


@dataclass(frozen=True)
class Guess:
    """One class that a model deems possible: its index, and its softmax probability in [0, 1]."""

    label: int
    share: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one model made of it.

    Args:
        model: Its label.
        before: Its likeliest classes for the image as it is, likeliest first.
        after: Those for the changed image.
        verdict: ``holds``, ``fooled``, ``wrong_before`` or ``recovers`` where the true class is known; else ``keeps``
            or ``changes``.
        changed: The changed image, float (3, h, w).
        difference: 0.5 + magnification x (changed - image), clipped.
        magnification: Factor of the difference shown.
        size: Norm of the change, in that of the threat; for perturbations the largest change of a value.
        passes: Forward passes that were spent on the search.
        seconds: Wall time.
    """

    model: str
    before: tuple[Guess, ...]
    after: tuple[Guess, ...]
    verdict: Verdict
    changed: Tensor
    difference: Tensor
    magnification: float
    size: float
    passes: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Demonstration:
    """Everything that is shown of one question about one image."""

    question: Question
    shown: Shown
    outcomes: tuple[Outcome, ...]


Observer = Callable[[str, int], None]
"""Told the model's label and the passes spent on it so far; what it raises ends the search."""


def demonstrate(
    models: Mapping[str, ImageClassifier],
    shown: Shown,
    question: Question,
    patch_size: int = 16,
    observer: Observer | None = None,
) -> Demonstration:
    """Return what every model answers before and after.

    Args:
        models: By label; all take images of this size and know the same classes.
        shown: The image.
        question: What is done to it.
        patch_size: Side in pixels of the patches that may be dropped.
        observer: Called after every forward pass of an attack.

    Raises:
        UserError: If the attack does not know the norm, or the perturbation does not fit the image.

    Cost:
        2 forwards a model, and the attack's.
    """
    return Demonstration(question, shown, tuple(_outcomes(models, shown, question, patch_size, observer)))


def expected_passes(question: Question, classes: int) -> int:
    """Return at most how many passes through a model of so many classes the question takes, attack and answers."""
    if question.kind != "attack" or question.strength == 0:
        return 2
    attack = question.attack()
    stages = attack.stages(classes)
    courses = (stage.course(classes) for stage in stages)
    around = 0 if stages == (attack,) else 2  # an attack made of others looks before the first and after the last
    return 2 + around + sum(course.needs_clean + course.passes * course.runs for course in courses)


def _outcomes(
    models: Mapping[str, ImageClassifier],
    shown: Shown,
    question: Question,
    patch_size: int,
    observer: Observer | None,
) -> Iterator[Outcome]:
    images = shown.image[None]
    ids = None if shown.id is None else torch.tensor([shown.id])
    threat: Threat | None = None
    same: Tensor | None = None
    if question.kind == "attack":
        threat = question.threat()
    else:
        perturbation = question.perturbation(patch_size, (images.shape[2], images.shape[3]))
        same = perturbation(images, seed=question.seed, ids=ids)
    for label, model in models.items():
        began = time.perf_counter()
        device = model.normalize.mean.device
        watched = _Watched(model.attack_view(), label, observer)
        before = _logits(watched, images.to(device))
        true = int(before.argmax()) if shown.label is None else shown.label
        if not 0 <= true < len(before):
            raise UserError(f"the image is of class {true}, but {label} knows {len(before)} classes")
        if same is not None:
            changed = same
        elif threat is None:
            changed = images
        else:
            changed = _attacked(question.attack(), watched, images.to(device), true, threat, (question.seed, ids))
        passes = watched.passes - 1
        after = _logits(watched, changed.to(device))
        delta = (changed - images)[0]
        magnification = 0.5 / _full_contrast(delta, threat)
        yield Outcome(
            model=label,
            before=_guesses(before),
            after=_guesses(after),
            verdict=_verdict(int(before.argmax()), int(after.argmax()), shown.label),
            changed=changed[0],
            difference=(0.5 + magnification * delta).clamp(0, 1),
            magnification=magnification,
            size=float(threat.size(delta[None])) if threat is not None else float(delta.abs().max()),
            passes=passes,
            seconds=time.perf_counter() - began,
        )


def _attacked(
    attack: Attack, model: Classifier, images: Tensor, label: int, threat: Threat, keys: tuple[int, Tensor | None]
) -> Tensor:
    seed, ids = keys
    return attack(model, images, torch.tensor([label]), threat, seed=seed, ids=ids).cpu()


@torch.no_grad()
def _logits(model: Classifier, images: Tensor) -> Tensor:
    return model(images)[0].double().cpu()


def _guesses(logits: Tensor) -> tuple[Guess, ...]:
    shares, labels = logits.softmax(dim=0).topk(min(_TOP, len(logits)))
    return tuple(Guess(int(label), float(share)) for label, share in zip(labels, shares, strict=True))


def _verdict(before: int, after: int, true: int | None) -> Verdict:
    if true is None:
        return "keeps" if before == after else "changes"
    if before != true:
        return "recovers" if after == true else "wrong_before"
    return "holds" if after == true else "fooled"


def _full_contrast(delta: Tensor, threat: Threat | None) -> float:
    """Return the change of a value that is shown as black or white: epsilon in Linf, else the largest there is."""
    found = float(delta.abs().max())
    if threat is not None and threat.norm == "linf":
        return threat.epsilon
    return found if found > 0 and math.isfinite(found) else 0.5


@final
class _Watched:
    """A model that counts its passes and tells of them."""

    def __init__(self, view: Classifier, label: str, observer: Observer | None) -> None:
        self.passes = 0
        self._view, self._label, self._observer = view, label, observer

    def __call__(self, images: Tensor, /) -> Tensor:
        """Return the logits."""
        if self._observer is not None:
            self._observer(self._label, self.passes)
        self.passes += 1
        return self._view(images)
