"""How little is enough? The smallest perturbation that a search has seen change the prediction, image by image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustpeft.attacks.base import Attack
from robustpeft.attacks.fmn import FMN
from robustpeft.attacks.losses import margin
from robustpeft.attacks.search import Search
from robustpeft.errors import UserError
from robustpeft.types import Classifier, Threat, attack_view

__all__ = ["SmallestFound", "minimal_norms", "smallest_found"]


def minimal_norms(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    threat: Threat,
    attack: Attack | None = None,
    *,
    seed: int = 0,
    ids: Tensor | None = None,
) -> Tensor:
    """Return float32 (b,): the smallest norm of a misclassified point that the search looked at.

    An upper bound on the smallest there is; 0 for images that are misclassified as they are, infinite where nothing was
    found. In half precision the points are those that the model was given.

    Args:
        model: Maps images in [0, 1] to logits; attacked through a frozen twin.
        images: Float (b, 3, h, w) in [0, 1].
        labels: Int (b,), the true classes.
        threat: Its norm counts; its epsilon only as the size of random starts, if the search draws any.
        attack: A search that looks beyond the threat, ``FMN()`` by default.
        seed: Of all randomness.
        ids: Int (b,), one per image, to key the randomness; a hash of the pixels by default.

    Raises:
        UserError: If the search stays within the threat, and wherever an attack raises.

    Cost:
        That of the attack, and 1 forward.
    """
    return smallest_found(model, images, labels, threat, attack, seed=seed, ids=ids).norms


@dataclass(frozen=True)
class SmallestFound:
    """What a search for small perturbations looked at.

    Args:
        norms: Float32 (b,), as `minimal_norms` returns them.
        points: Float (b, 3, h, w): the misclassified point of that norm; the image itself where there is none.
        clearest: Likewise, of the misclassified points within the threat the one of the largest margin: one that
            rounding does not move back across the boundary.
        inside: Bool (b,): there is one.
    """

    norms: Tensor
    points: Tensor
    clearest: Tensor
    inside: Tensor


def smallest_found(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    threat: Threat,
    attack: Attack | None = None,
    *,
    seed: int = 0,
    ids: Tensor | None = None,
) -> SmallestFound:
    """Return the smallest misclassified points that a search looked at, and the clearest within the threat.

    Args:
        model: As for `minimal_norms`, like all others.
        images: Likewise.
        labels: Likewise.
        threat: Its norm counts; its epsilon says which points are inside.
        attack: As for `minimal_norms`.
        seed: Likewise.
        ids: Likewise.

    Raises:
        UserError: Likewise.

    Cost:
        That of the attack, and 1 forward.
    """
    search = FMN() if attack is None else attack
    if not isinstance(search, Search) or search.course(0).inside:
        raise UserError(f"minimal norms need a search that looks beyond the threat (fab, fmn); got {search!r}")
    if len(images) == 0:
        none = torch.zeros(0, device=images.device)
        return SmallestFound(none, images, images, none.bool())
    watched = _Watched(attack_view(model), images, labels, threat)
    # At epsilon 0 an attack has nothing to do and looks nowhere.
    search(watched, images, labels, threat if threat.epsilon else threat.with_epsilon(1.0), seed=seed, ids=ids)
    with torch.no_grad():
        watched(images)
    return SmallestFound(watched.smallest, watched.points, watched.clearest, watched.margins > 0)


class _Watched:
    """A model that remembers the smallest perturbation of each image it got wrong; a search asks about all at once."""

    def __init__(self, view: Classifier, images: Tensor, labels: Tensor, threat: Threat) -> None:
        self._view, self._images, self._threat = view, images.detach(), threat
        self._labels = labels.to(images.device)
        self.smallest = torch.full((len(images),), torch.inf, device=images.device)
        self.margins = torch.zeros(len(images), device=images.device)
        self.points, self.clearest = self._images.clone(), self._images.clone()

    def __call__(self, points: Tensor, /) -> Tensor:
        """Return the logits."""
        logits = self._view(points)
        with torch.no_grad():
            size = self._threat.size(points.detach().double() - self._images.double()).float()
            wrong = logits.detach().argmax(dim=1) != self._labels
            smaller = wrong & (size < self.smallest)
            self.smallest = torch.where(smaller, size, self.smallest)
            self.points[smaller] = points.detach()[smaller]
            by = margin(logits.detach().float(), self._labels)
            clearer = wrong & (size <= self._threat.epsilon) & (by > self.margins)
            self.margins = torch.where(clearer, by, self.margins)
            self.clearest[clearer] = points.detach()[clearer]
        return logits
