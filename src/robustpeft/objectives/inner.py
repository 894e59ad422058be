"""Who finds the worst images? Any attack, on the model's answers or on any number per image that one can measure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from robustpeft.attacks import Attack
from robustpeft.errors import UserError
from robustpeft.objectives.lesson import Lesson, Moment, Targets
from robustpeft.types import Classifier, attack_view

__all__ = ["Measure", "attacked", "soft_measure"]

Measure = Callable[[Classifier, Tensor], Tensor]
"""What is increased: a number (b,) per image, from the view that is attacked and the points (b, 3, h, w)."""


def attacked(
    attack: Attack, model: Classifier, lesson: Lesson, moment: Moment, measure: Measure | None = None
) -> Lesson:
    """Return the lesson with the adversarial images that the attack finds; as it is at epsilon 0.

    Args:
        attack: Does the search.
        model: What is attacked, through its view: frozen, in eval mode.
        lesson: Its images are where the attack begins.
        moment: The threat and the seed.
        measure: What is increased; None for the attack's own loss on logits and labels. Given a measure m, the attack
            meets a model of two classes with the logits (0, m) and images of the first class: ``loss="margin"`` is then
            m itself, ``loss="cross_entropy"`` is softplus(m), whose gradient has the same direction.

    Cost:
        The attack's passes.

    Raises:
        UserError: As the attack raises.
    """
    if moment.threat.epsilon == 0:
        return lesson
    subject, labels = model, lesson.targets.labels
    if measure is not None:
        subject, labels = _Duel(attack_view(model), measure, len(labels)), torch.zeros_like(labels)
    adversarial = attack(subject, lesson.images, labels, moment.threat, seed=moment.seed, ids=lesson.ids)
    return dataclasses.replace(lesson, adversarial=adversarial)


def soft_measure(targets: Targets) -> Measure | None:
    """Return the cross-entropy with probabilities; None if each image has one class, which attacks know themselves."""
    return None if targets.hard else lambda view, points: targets.cross_entropies(view(points))


class _Duel:
    """Two classes: the image stays what it is (logit 0), or is what the measure says (logit m)."""

    def __init__(self, view: Classifier, measure: Measure, rows: int) -> None:
        self._view, self._measure, self._rows = view, measure, rows

    def __call__(self, points: Tensor) -> Tensor:
        if len(points) != self._rows:
            raise UserError(
                f"this objective measures {self._rows} images at a time, and the attack asked for {len(points)}; "
                "take one that looks at all images in every pass, such as pgd"
            )
        measured = self._measure(self._view, points)
        return torch.stack([torch.zeros_like(measured), measured], dim=1)
