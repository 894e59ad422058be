"""What if one wrong class always stays just behind the first? Searches for the nearest class then chase it, in vain.

The likeliest class keeps its place, and so does every decision. But the gap to the decoy is the smallest, whatever the
image, and its gradient tells nothing of where another class would win.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustpeft.auditing.specimens.around import Around

__all__ = ["decoy"]

_GAP = 0.01  # of logits: nearer than any honest runner-up that is not about to win
_RIPPLES = 40.0


def decoy(model: nn.Module) -> nn.Module:
    """Return the model with the class after the likeliest just behind it, by a gap that ripples with the logits."""
    return Around(model, after=_with_a_decoy)


def _with_a_decoy(logits: Tensor) -> Tensor:
    top, first = logits.max(dim=1)
    second = ((first + 1) % logits.shape[1]).unsqueeze(1)
    gap = _GAP * (1.5 + torch.sin(_RIPPLES * logits.sum(dim=1)))  # always positive: the decoy never wins
    behind = torch.maximum(logits.gather(1, second).squeeze(1), top - gap)
    return logits.scatter(1, second, behind.unsqueeze(1))
