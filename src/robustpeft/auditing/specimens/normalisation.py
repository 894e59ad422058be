"""What if the images do not reach the network as it knows them? Twice normalised, or in another range.

The accuracy is then lower than it was in training, and whatever is measured is measured on another model.

Source: the commonest mistake reported to the authors of attack libraries; Carlini et al. 2019, arXiv:1902.06705,
Section 4, ask for the clean accuracy for this reason too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustpeft.auditing.specimens.around import Around

__all__ = ["normalised_in_place", "normalised_twice", "wrong_normalisation", "wrong_range"]

_MEAN = (0.485, 0.456, 0.406)  # of ImageNet, in every tutorial
_DEVIATION = (0.229, 0.224, 0.225)


def normalised_twice(model: nn.Module) -> nn.Module:
    """Return the model, which normalises by itself, behind another normalisation."""
    return Around(model, before=lambda images: _normalised(images, _MEAN, _DEVIATION))


def wrong_normalisation(model: nn.Module) -> nn.Module:
    """Return the model behind what deviations of a network for other images leave of its own: half the contrast."""
    return Around(model, before=lambda images: _normalised(images, (-0.5,) * 3, (2.0,) * 3))


def wrong_range(model: nn.Module) -> nn.Module:
    """Return the model behind a division by 255 of images that are in [0, 1] already: they are nearly black."""
    return Around(model, before=lambda images: images / 255.0)


def normalised_in_place(model: nn.Module) -> nn.Module:
    """Return the model behind a change of range to [-1, 1] and back that is left in the caller's images."""
    return Around(model, before=_in_place)


def _normalised(images: Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Tensor:
    centre, scale = (
        torch.tensor(v, dtype=images.dtype, device=images.device)[:, None, None] for v in (mean, deviation)
    )
    return (images - centre) / scale


def _in_place(images: Tensor) -> Tensor:
    given = images.clone()
    images.mul_(2.0).sub_(1.0)
    return given
