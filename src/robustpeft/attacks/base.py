"""What is an attack? A value that, called with a model and images, returns the worst images it found within the threat.

The contract, tested for every attack in the table: images stay in [0, 1] and in the ball; the model is left exactly as
it was, also when something raises; the result for an image depends on the seed and the image, not on its batch; at
epsilon 0 the images come back unchanged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch
from torch import Tensor

from robustpeft.attacks.target import Target
from robustpeft.errors import UserError
from robustpeft.types import (
    Classifier,
    Noise,
    Threat,
    attack_view,
    check_fields,
    check_images,
    check_labels,
    content_ids,
)

if TYPE_CHECKING:
    from robustpeft.attacks.search import Search

__all__ = ["Attack"]

_NARROW = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Attack(ABC):
    """A search, or several one after the other, with hyper-parameters; it holds no model, no device and no mode.

    Attributes:
        cost: Forward and backward passes per image, in words.
    """

    cost: ClassVar[str]

    def __post_init__(self) -> None:
        check_fields(self)

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
        if not isinstance(threat, Threat):
            raise UserError(f"threat must be a norm with a radius, for example Linf(8 / 255); got {threat!r}")
        check_images(images)
        check_labels(labels, batch=images.shape[0])
        if ids is not None:
            _check_ids(ids, len(images))
        if images.shape[0] == 0 or threat.epsilon == 0:
            return images.detach().clone()
        devices = [images.device] if images.is_cuda else []
        # A caller's inference mode would take the gradients away; a random model would move the global random state.
        with torch.inference_mode(False), torch.random.fork_rng(devices):
            given = images.detach().clone()
            noise = Noise(seed, content_ids(given) if ids is None else ids.to(given.device), type(self).__name__)
            view = attack_view(model)
            if given.dtype not in _NARROW:
                target = Target(given, labels.to(given.device, torch.int64, copy=True), threat, noise)
                return self.search(view, target).detach()
            # Steps of a search are lost in half precision, and points rounded out of the ball.
            target = Target(given.float(), labels.to(given.device, torch.int64, copy=True), threat, noise)
            found = self.search(lambda points: view(points.to(given.dtype)), target).detach()
            return _rounded_towards(found, given)

    @abstractmethod
    def stages(self, classes: int) -> tuple[Search[Any], ...]:
        """Return the searches that make up this attack on a model with so many classes, in order."""

    @abstractmethod
    def search(self, view: Classifier, target: Target) -> Tensor:
        """Return the images found; `view` may be called freely, nothing of it can be changed."""


def _check_ids(ids: object, images: int) -> None:
    found = type(ids).__name__
    if isinstance(ids, Tensor):
        if ids.shape == (images,) and not (ids.is_floating_point() or ids.is_complex()):
            return
        found = f"{ids.dtype} {tuple(ids.shape)}"
    raise UserError(f"ids must be integers of shape ({images},), one per image; got {found}")


def _rounded_towards(found: Tensor, images: Tensor) -> Tensor:
    """Return the points in the images' half precision, each value rounded so that it is no further from the image's."""
    near = found.to(images.dtype)
    start = images.float()
    # Values are compared, not distances, which would have to be rounded where one of the two is tiny.
    beyond = torch.where(found > start, near.float() > found, near.float() < found)
    # One unit in the last place towards the image: values are not negative, so their bits are ordered as they are.
    inward = torch.sign(start - near.float()).to(torch.int16)
    stepped = (near.clamp_min(0).view(torch.int16) + inward).view(images.dtype)
    return torch.where(beyond, stepped, near)
