"""What is an attack? A value that, called with a model and images, returns the worst images it found within the threat.

The contract, tested for every attack in the table: images stay in [0, 1] and in the ball; the model is left exactly as
it was, also when something raises; the result for an image depends on the seed and the image, not on its batch; at
epsilon 0 the images come back unchanged.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from robustpeft.attacks.losses import find_loss
from robustpeft.errors import UserError
from robustpeft.types import Classifier, Noise, Threat, attack_view, check_images, check_labels, content_ids

__all__ = ["Attack", "Evaluation", "Target"]

_log = logging.getLogger(__name__)

_NO_GRADIENT = (
    "the logits carry no gradient back to the images (is there a torch.no_grad or a detach in the model?); "
    "an attack by gradients cannot see through it"
)


@dataclass(frozen=True)
class Target:
    """What one attack works on: clean images with labels, the threat around them, and the attack's randomness."""

    images: Tensor
    labels: Tensor
    threat: Threat
    noise: Noise

    def within(self, candidates: Tensor) -> Tensor:
        """Return the candidates projected into the ball around the images and clipped to [0, 1]."""
        return (self.images + self.threat.project(candidates - self.images)).clamp(0.0, 1.0)


@dataclass(frozen=True)
class Evaluation:
    """What one pass through the model told.

    Args:
        logits: (b, k), detached.
        loss: (b,), detached.
        gradient: Of the loss, (b, 3, h, w).
    """

    logits: Tensor
    loss: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class Attack(ABC):
    """A search with its hyper-parameters; it holds no model, no device and no mode.

    Attributes:
        cost: Forward and backward passes per image, in words.
    """

    cost: ClassVar[str]

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
    ) -> Tensor:
        """Return adversarial images.

        Args:
            model: Maps images in [0, 1] to logits; attacked through a frozen twin in eval mode and left untouched.
            images: Float (b, 3, h, w) in [0, 1]; not modified.
            labels: Int (b,), the true classes.
            threat: Norm and epsilon.
            seed: Of all randomness.
            ids: Int (b,), one per image, to key the randomness; a hash of the pixels by default.

        Returns:
            Float (b, 3, h, w) in [0, 1] and within `threat` of `images` (up to float32 rounding), without a graph.

        Raises:
            UserError: For images outside [0, 1], labels out of range, ids that do not name every image, or a model
                whose logits or gradients are not finite or not there.
        """
        check_images(images)
        check_labels(labels, batch=images.shape[0])
        if ids is not None and (ids.shape != labels.shape or ids.is_floating_point()):
            raise UserError(
                f"ids must be integers of shape ({len(images)},), one per image; got {ids.dtype} {tuple(ids.shape)}"
            )
        if images.shape[0] == 0 or threat.epsilon == 0:
            return images.detach().clone()
        devices = [images.device] if images.is_cuda else []
        # A caller's inference mode would take the gradients away; a random model would move the global random state.
        with torch.inference_mode(False), torch.random.fork_rng(devices):
            images = images.detach().clone()
            noise = Noise(seed, content_ids(images) if ids is None else ids.to(images.device), type(self).__name__)
            target = Target(images, labels.to(images.device, torch.int64, copy=True), threat, noise)
            return self.search(attack_view(model), target).detach()

    @abstractmethod
    def search(self, view: Classifier, target: Target) -> Tensor:
        """Return the images found; `view` may be called freely, nothing of it can be changed."""


def evaluate(view: Classifier, candidates: Tensor, labels: Tensor, loss: str) -> Evaluation:
    """Return logits, loss and input gradient at the candidates, each image on its own.

    Raises:
        UserError: If the labels do not fit the logits, a logit or gradient is not finite, or there is no gradient.
    """
    with torch.enable_grad():
        point = candidates.detach().requires_grad_(True)
        logits = check_logits(view(point), labels)
        values = find_loss(loss)(logits.float(), labels)
        if not values.requires_grad:
            raise UserError(_NO_GRADIENT)
        (gradient,) = torch.autograd.grad(values.sum(), point, allow_unused=True)
    if gradient is None:
        raise UserError(_NO_GRADIENT)
    if not bool(torch.isfinite(gradient).all()):  # sign(nan) is 0: standing still would look like robustness
        raise UserError("the gradient at the images is not finite; an attack along it would mean nothing")
    _warn_of_vanished(gradient, loss)
    return Evaluation(logits.detach(), values.detach(), gradient)


def _warn_of_vanished(gradient: Tensor, loss: str) -> None:
    """Say when images have a gradient of exactly 0: an attack along it stands still, which is not robustness."""
    still = int((gradient.flatten(1).abs().amax(dim=1) == 0).sum())
    if still and loss == "cross_entropy":
        _log.warning(
            "%d of %d images have a gradient of exactly 0: the attack stands still there, so accuracy under it is too "
            "high; attack with loss=margin too",
            still,
            len(gradient),
        )


def check_logits(logits: Any, labels: Tensor) -> Tensor:
    """Return the logits unless they cannot be those of a classifier for these labels.

    Raises:
        UserError: Saying what is wrong with them.
    """
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != labels.shape[0]:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(f"the model must return logits (batch, classes); got {found}")
    check_labels(labels, num_classes=logits.shape[1])
    if not bool(torch.isfinite(logits).all()):
        raise UserError("the model returned logits that are not finite; an attack on them would mean nothing")
    return logits
