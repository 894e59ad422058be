"""What if the answer to an image depends on the other images of the batch?

An attack then moves what it was not asked to move, and a prediction cannot be repeated alone.

Source: Croce et al. 2022, arXiv:2202.13711 (test-time defences that work on batches); batch statistics: Ioffe and
Szegedy 2015, arXiv:1502.03167, in training mode.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustpeft.auditing.specimens.around import Around

__all__ = ["batch_statistics", "mixed_with_neighbour"]

_CENTRED = 0.5
_MIXED = 0.2


def batch_statistics(model: nn.Module) -> nn.Module:
    """Return the model with half of the batch's mean logits subtracted from each image's."""
    return Around(model, after=lambda logits: logits - _CENTRED * logits.mean(dim=0, keepdim=True))


def mixed_with_neighbour(model: nn.Module) -> nn.Module:
    """Return the model with a fifth of the next image's logits added to each image's."""
    return Around(model, after=_mixed)


def _mixed(logits: Tensor) -> Tensor:
    return logits + _MIXED * logits.roll(1, dims=0)
