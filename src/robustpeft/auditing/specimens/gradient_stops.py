"""What if no gradient comes back? The answers are right, and an attack by gradients does not move.

Source: Athalye et al. 2018, arXiv:1802.00420, Section 3.1 ("shattered gradients"). Pintor et al. 2022,
arXiv:2106.09947, list it as the first failure of attacks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustpeft.auditing.specimens.around import Around

__all__ = ["detached", "tiny_gradient", "zero_gradient", "zero_gradient_when_sure"]

_TINY = 1e-30  # products of it with ordinary gradients are subnormal or zero in float32
_SURE = 0.9


def detached(model: nn.Module) -> nn.Module:
    """Return the model behind a cut graph: asking for a gradient raises."""
    return Around(model, before=Tensor.detach)


def zero_gradient(model: nn.Module) -> nn.Module:
    """Return the model with the gradient 0 everywhere; the graph is whole."""
    return Around(model, before=lambda images: _scaled_gradient(images, 0.0))


def tiny_gradient(model: nn.Module) -> nn.Module:
    """Return the model with its gradient times 1e-30, as layers in saturation have it."""
    return Around(model, before=lambda images: _scaled_gradient(images, _TINY))


def zero_gradient_when_sure(model: nn.Module) -> nn.Module:
    """Return the model with the gradient 0 for images whose top class has a probability above 0.9, right for others."""
    return Around(model, after=_stop_when_sure)


def _scaled_gradient(images: Tensor, factor: float) -> Tensor:
    """Return the images, bit by bit; gradients are multiplied by the factor."""
    return images.detach() + factor * (images - images.detach())


def _stop_when_sure(logits: Tensor) -> Tensor:
    sure = torch.softmax(logits.detach(), dim=1).amax(dim=1, keepdim=True) > _SURE
    return torch.where(sure, logits.detach(), logits)
