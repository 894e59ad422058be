"""What is an objective? A value that, called with a model and a batch, returns the loss that tuning minimises.

It has two halves, so that each can be given as many images as memory allows: `lesson` is the inner maximisation, which
needs no graph of the parameters; `loss` is the training pass. Calling the objective does one after the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import final

from torch import Tensor

from robustpeft.objectives.lesson import Lesson, Moment, Targets
from robustpeft.types import Classifier, Threat, check_labels, content_ids

__all__ = ["Loss", "Objective", "adversarial_loss", "natural_loss"]


@dataclass(frozen=True)
class Loss:
    """A loss and what it is made of.

    Args:
        total: Scalar with a graph; the mean over the batch.
        parts: Detached scalars for the log, by name; each the mean over the batch.
    """

    total: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Objective(ABC):
    """A training loss with its hyper-parameters; it holds no model."""

    @property
    @abstractmethod
    def adversarial(self) -> bool:
        """Whether it uses the threat."""

    @final
    def __call__(
        self,
        model: Classifier,
        images: Tensor,
        labels: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Tensor | None = None,
        progress: float = 1.0,
    ) -> Loss:
        """Return the mean loss over a batch: ``loss(model, lesson(model, ...))``.

        Args:
            model: Its trained parameters receive the graph; the training pass is made in the mode it is in.
            images: Float (b, 3, h, w) in [0, 1].
            labels: Int (b,).
            threat: Norm and epsilon now; at epsilon 0 there is no adversary, and every objective that only differs by
                one is the natural loss.
            seed: Of all randomness in this step.
            ids: Int (b,), one per image; a hash of the pixels by default.
            progress: Share of all steps done, in [0, 1], for objectives that warm up.

        Raises:
            UserError: If the labels are not class indices of the model's logits.
        """
        lesson = self.lesson(model, images, labels, threat, seed=seed, ids=ids, progress=progress)
        return self.loss(model, lesson)

    @final
    def lesson(
        self,
        model: Classifier,
        images: Tensor,
        labels: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Tensor | None = None,
        progress: float = 1.0,
    ) -> Lesson:
        """Return what the training pass is to learn from; arguments as for calling the objective.

        Raises:
            UserError: If the labels do not fit the images.
        """
        check_labels(labels, batch=images.shape[0])
        named = content_ids(images) if ids is None else ids.to(images.device)
        return self.prepare(model, Lesson(images, Targets(labels.long()), named), Moment(threat, seed, progress))

    @abstractmethod
    def prepare(self, model: Classifier, lesson: Lesson, moment: Moment) -> Lesson:
        """Return the lesson with what the objective adds to it; the model is not changed and receives no graph."""

    @abstractmethod
    def loss(self, model: Classifier, lesson: Lesson) -> Loss:
        """Return the mean loss over a lesson, or over a part of one."""


def natural_loss(model: Classifier, lesson: Lesson) -> Loss:
    """Return the cross-entropy on the images themselves.

    Cost:
        1 forward.
    """
    total = lesson.targets.cross_entropy(model(lesson.images))
    return Loss(total, {"cross_entropy": total.detach()})


def adversarial_loss(model: Classifier, lesson: Lesson) -> Loss:
    """Return the cross-entropy on the adversarial images, and how many of them are classified correctly.

    Cost:
        1 forward.
    """
    logits = model(lesson.attacked)
    total, accuracy = lesson.targets.cross_entropy(logits), lesson.targets.accuracy(logits)
    return Loss(total, {"adversarial_cross_entropy": total.detach(), "adversarial_accuracy": accuracy})
