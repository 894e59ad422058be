"""What if an ensemble votes? Shares of votes have no gradient, and look like probabilities.

Source: Athalye et al. 2018, arXiv:1802.00420, Section 3.1. `soft_ensemble` is the honest way to the same decision.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["soft_ensemble", "voting"]

_SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))


def voting(model: nn.Module) -> nn.Module:
    """Return the shares of votes (b, k) for each class over the image and its shifts by one pixel; ties go by order."""
    return _Ensemble(model, hard=True)


def soft_ensemble(model: nn.Module) -> nn.Module:
    """Return the logarithm of the mean probabilities over the same shifts, with exact gradients."""
    return _Ensemble(model, hard=False)


class _Ensemble(nn.Module):
    """One network, several views of an image."""

    def __init__(self, inner: nn.Module, hard: bool) -> None:
        super().__init__()
        self.inner = inner
        self.hard = hard
        self.training = inner.training

    def forward(self, images: Tensor) -> Tensor:
        """Return the ensemble's answer (b, k)."""
        answers = [self.inner(images.roll(shift, dims=(2, 3))) for shift in _SHIFTS]
        if not self.hard:
            logs = torch.stack([torch.log_softmax(logits, dim=1) for logits in answers])
            return torch.logsumexp(logs, dim=0) - math.log(len(_SHIFTS))
        votes = [nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]) for logits in answers]
        return torch.stack(votes).to(answers[0].dtype).mean(dim=0)
