"""What if something is rounded on the way? Steps have the derivative zero, and an attack must go around them.

Source: Guo et al. 2018, arXiv:1711.00117, Section 4 (bit depth); Xu et al. 2018, arXiv:1704.01155, Section III; broken
by Athalye et al. 2018, arXiv:1802.00420, Section 5.3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustpeft.auditing.specimens.around import Around
from robustpeft.auditing.specimens.leaves import CONVOLUTIONS, exchange

__all__ = ["eight_bits", "quantised_inputs", "rounded_features", "rounded_logits"]

_LEVELS = 8
_FEATURE_STEP = 0.25
_LOGIT_STEP = 0.5


def quantised_inputs(model: nn.Module) -> nn.Module:
    """Return the model behind rounding of its images to 8 levels: gradients are exactly zero."""
    return Around(model, before=lambda images: (images * (_LEVELS - 1)).round() / (_LEVELS - 1))


def eight_bits(model: nn.Module) -> nn.Module:
    """Return the model behind a conversion to bytes, as image libraries do it: there is no graph."""
    return Around(model, before=lambda images: (images * 255.0).round().to(torch.uint8).to(images.dtype) / 255.0)


def rounded_features(model: nn.Module) -> nn.Module:
    """Return the model with what its convolutions (in a ViT the patch embedding) give rounded to multiples of 0.25."""
    return exchange(model, CONVOLUTIONS, lambda layer: nn.Sequential(layer, _Round(_FEATURE_STEP)))


def rounded_logits(model: nn.Module) -> nn.Module:
    """Return the model with logits rounded to multiples of 0.5, a part of the margin left so that there are no ties."""
    return Around(model, after=_rounded)


def _rounded(logits: Tensor) -> Tensor:
    steps = (logits / _LOGIT_STEP).round() * _LOGIT_STEP
    best = nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).to(logits)
    return steps + _LOGIT_STEP / 2 * best  # the class stays the same where rounding makes two of them equal


class _Round(nn.Module):
    """Rounds to multiples of a step."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def forward(self, values: Tensor) -> Tensor:
        """Return the rounded values."""
        return (values / self.step).round() * self.step
