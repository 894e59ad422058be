"""How many passes does an attack spend? Counted where they happen: at the one callable that attacks are given."""

from __future__ import annotations

import torch
from torch import Tensor

from robustpeft.types import Classifier

__all__ = ["CountedView"]


class CountedView:
    """A classifier that counts the images passed through it, forwards and backwards.

    It is a plain callable, so `attack_view` returns it as it is: whatever an attack computes is counted, and the twin
    beneath it is made, and its branches folded, once per audit instead of once per batch.

    Args:
        view: A frozen twin, as `attack_view` returns it.

    Attributes:
        forwards: Forward passes so far, in images.
        backwards: Backward passes that reached the images, so far, in images.
    """

    def __init__(self, view: Classifier) -> None:
        self.forwards = 0
        self.backwards = 0
        self._view = view

    def __call__(self, images: Tensor, /) -> Tensor:
        """Return the logits (b, k) of images (b, 3, h, w) in [0, 1]."""
        self.forwards += len(images)
        if not (torch.is_grad_enabled() and images.requires_grad):
            return self._view(images)
        # A node of this call's own: a hook on the caller's tensor would fire again for every later call with it.
        entry = images.view_as(images)
        assert entry.grad_fn is not None
        entry.grad_fn.register_prehook(self._count_backward)
        return self._view(entry)

    def _count_backward(self, gradients: tuple[Tensor, ...]) -> None:
        self.backwards += len(gradients[0])
