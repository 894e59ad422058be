"""What if the model may decline to answer? An image that it refuses is counted as wrong by one, as robust by another.

    z_(k+1) = log(sum of exp z_j) + log(0.7):  the largest logit iff no class has a probability of 0.7

Source: Carlini and Wagner 2017, arXiv:1705.07263 (ten detection methods broken); Carlini et al. 2019,
arXiv:1902.06705, Section 2.2 on what to report of a model that abstains.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from robustpeft.auditing.specimens.around import Around

__all__ = ["reject_class"]

_LEAST = 0.7


def reject_class(model: nn.Module) -> nn.Module:
    """Return the model with one more logit, which wins where no class has a probability of 0.7."""
    return Around(model, after=_with_reject)


def _with_reject(logits: Tensor) -> Tensor:
    refusal = torch.logsumexp(logits, dim=1, keepdim=True) + math.log(_LEAST)
    return torch.cat([logits, refusal], dim=1)
