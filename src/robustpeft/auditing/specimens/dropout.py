"""What if dropout is still at work? In the code, where no mode switches it off, or because nobody called eval.

Source: Dhillon et al. 2018, arXiv:1803.01442 (stochastic activation pruning), broken by Athalye et al. 2018,
arXiv:1802.00420, Section 5.4; and a frequent slip.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from robustpeft.auditing.specimens.around import Around
from robustpeft.auditing.specimens.leaves import ACTIVATIONS, exchange

__all__ = ["dropout_left_on", "left_in_training_mode"]

_PROBABILITY = 0.1
_PIXELS = 0.02


def dropout_left_on(model: nn.Module) -> nn.Module:
    """Return the model with dropout behind its activations, also in eval mode."""
    return exchange(model, ACTIVATIONS, lambda layer: nn.Sequential(layer, _AlwaysDropout()))


def left_in_training_mode(model: nn.Module) -> nn.Module:
    """Return the model behind an ordinary dropout of pixels, which is the only module in training mode."""
    pixels = nn.Dropout(_PIXELS)
    around = Around(model, before=pixels)
    pixels.training = True
    return around


class _AlwaysDropout(nn.Module):
    """Dropout that does not ask for the mode."""

    def forward(self, values: Tensor) -> Tensor:
        """Return the values, a tenth of them zero."""
        return functional.dropout(values, _PROBABILITY, training=True)
