"""What if the classes are in another order than the labels? The model is good, and every number about it is wrong.

Source: users of ImageNet folders, whose names are sorted as words in one place and as numbers in another.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustpeft.auditing.specimens.around import Around

__all__ = ["classes_permuted", "classes_sorted_as_words"]


def classes_permuted(model: nn.Module) -> nn.Module:
    """Return the model with its logits in a fixed random order that leaves no class in its place."""
    return Around(model, after=lambda logits: logits[:, _derangement(logits.shape[1])])


def classes_sorted_as_words(model: nn.Module) -> nn.Module:
    """Return the model with its classes, named 1 to k, in the order of their names as words: "10" before "2".

    With fewer than ten classes the orders are the same.
    """
    return Around(model, after=_as_words)


def _as_words(logits: Tensor) -> Tensor:
    return logits[:, sorted(range(logits.shape[1]), key=lambda index: str(index + 1))]


def _derangement(k: int) -> list[int]:
    """Return a single cycle through a random order, in which nothing stays in place if k > 1."""
    order = torch.randperm(k, generator=torch.Generator().manual_seed(0)).tolist()
    follower = dict(zip(order, order[1:] + order[:1], strict=True))
    return [follower[index] for index in range(k)]
