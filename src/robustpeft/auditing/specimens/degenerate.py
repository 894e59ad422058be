"""What if the model has learned nothing, or its answer is no number, or its gradient is none?

Source: Carlini et al. 2019, arXiv:1902.06705, Section 5 (a constant model is robust), Section 4.7.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustpeft.auditing.specimens.around import Around

__all__ = ["constant", "nan_gradients", "nan_when_unsure"]

_UNSURE = 0.6


def constant(model: nn.Module) -> nn.Module:
    """Return a model that says the first class of every image, with logits and gradients that look like any others."""
    return Around(model, after=lambda logits: logits.sort(dim=1, descending=True).values)


def nan_when_unsure(model: nn.Module) -> nn.Module:
    """Return the model with NaN for logits where no class has a probability of 0.6: next to the decision boundary."""
    return Around(model, after=_nan_when_unsure)


def nan_gradients(model: nn.Module) -> nn.Module:
    """Return the model behind a square root and its square: the same images, but NaN for the gradient at black."""
    return Around(model, before=lambda images: images.sqrt().square())


def _nan_when_unsure(logits: Tensor) -> Tensor:
    top = torch.softmax(logits.detach(), dim=1).amax(dim=1, keepdim=True)
    return torch.where(top < _UNSURE, torch.full_like(logits, torch.nan), logits)
