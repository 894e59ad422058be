"""FARE: keep the embedding of every image within the threat where the frozen model has that of the image itself.

    min over w of  mean  max over x' in threat(x) of  |phi_w(x') - phi_0(x)|^2

phi_w is the embedding that the head reads, phi_0 that of the model without what was attached to it. No label is used.

Source: Schlarmann et al. 2024, arXiv:2402.12336, Section 3.2, Equation 3.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from robustpeft.attacks import PGD, Attack
from robustpeft.errors import UserError
from robustpeft.objectives.base import Loss, Objective
from robustpeft.objectives.inner import attacked
from robustpeft.objectives.lesson import Lesson, Moment
from robustpeft.types import Attackable, Classifier

__all__ = ["FARE"]


@runtime_checkable
class Embedding(Protocol):
    """Whatever has features: a model, or the view of it that is attacked."""

    def features(self, images: Tensor) -> Tensor:
        """Return the embedding (b, d) that the head reads."""
        ...


@final
@dataclass(frozen=True)
class FARE(Objective):
    """Squared distance of adversarial embeddings from the frozen model's clean ones; no labels.

    The head takes no part and receives no gradient. A pretrained one (the text classes of CLIP, an ImageNet head) goes
    on to fit the embedding; a new one has to be trained afterwards, and until then accuracy on validation images says
    nothing. At epsilon 0 it is the squared distance of the clean embeddings: 0 at the start of tuning.

    Cost: 1 forward of the frozen model, the attack's passes, then 1 forward and 1 backward of the trained parameters;
    and two views of the model, some milliseconds.

    Args:
        attack: The inner maximisation; it increases the distance, whatever its loss (see `attacked`). Without a random
            start it stands still as long as the adapter is the identity: the distance is then least, its gradient 0.
    """

    adversarial: ClassVar[bool] = True

    attack: Attack = field(default_factory=lambda: PGD(steps=10, keep="last", loss="margin"))

    def prepare(self, model: Classifier, lesson: Lesson, moment: Moment) -> Lesson:
        """Return the lesson with the frozen embeddings and the images that the attack found.

        Raises:
            UserError: If the model has no features, or the images are mixed or their labels smoothed.
        """
        lesson.require_hard("fare")
        reference = _frozen_embeddings(model, lesson.images)
        known = dataclasses.replace(lesson, reference=reference)
        return attacked(
            self.attack, model, known, moment, lambda view, points: _distances(_features(view, points), reference)
        )

    def loss(self, model: Classifier, lesson: Lesson) -> Loss:
        """Return the mean squared distance."""
        assert lesson.reference is not None, "fare learns from lessons that it prepared"
        total = _distances(_features(model, lesson.attacked), lesson.reference).mean()
        return Loss(total, {"squared_distance": total.detach()})


def _distances(features: Tensor, reference: Tensor) -> Tensor:
    return (features.float() - reference.float()).square().sum(dim=1)


def _features(model: Classifier, images: Tensor) -> Tensor:
    if not isinstance(model, Embedding):
        raise UserError(f"fare needs a model with features, as rp.load_backbone gives; got {type(model).__name__}")
    return model.features(images)


@torch.no_grad()
def _frozen_embeddings(model: Classifier, images: Tensor) -> Tensor:
    """Return what the model without its attachments makes of the images, in eval mode.

    The view is made and asked within `disabled`: only there are both switches and thawed weights as they were.
    """
    if not isinstance(model, Attackable):
        raise UserError(
            f"fare compares with the model before anything was attached; {type(model).__name__} cannot show it "
            "(load it with rp.load_backbone or rp.wrap)"
        )
    with model.disabled():
        return _features(model.attack_view(), images)
