"""What if the outputs are no logits of an ordinary size? Losses of attacks then lose their gradient to rounding.

Source: Carlini and Wagner 2017, arXiv:1608.04644, Section VIII, on Papernot et al. 2016, arXiv:1511.04508 (defensive
distillation); Croce and Hein 2020, arXiv:2003.01690, Section 4 (why a loss should not depend on the scale).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustpeft.auditing.specimens.around import Around

__all__ = ["distilled", "probabilities", "scaled_logits"]

_SCALE = 1e4
_TEMPERATURE = 100.0


def scaled_logits(model: nn.Module) -> nn.Module:
    """Return the model with logits 10,000 times as large: the gradient of the cross-entropy is exactly zero."""
    return Around(model, after=lambda logits: logits * _SCALE)


def probabilities(model: nn.Module) -> nn.Module:
    """Return the model followed by a softmax; a cross-entropy of it takes a softmax twice."""
    return Around(model, after=lambda logits: torch.softmax(logits, dim=1))


def distilled(model: nn.Module) -> nn.Module:
    """Return what defensive distillation leaves: logits trained at temperature 100 and used at temperature 1.

    Differs from the source: nothing is trained again. What it does to gradients is this factor.
    """
    return Around(model, after=_at_temperature_one)


def _at_temperature_one(logits: Tensor) -> Tensor:
    return logits * _TEMPERATURE
