"""What if the forward pass optimises? It moves the image to where the model is sure, and no gradient goes along.

Source: Alfarra et al. 2022, arXiv:2103.14347 (anti-adversaries), Section 3; broken by Croce et al. 2022,
arXiv:2202.13711. Differs: sign steps, and the gradient of the moved image is handed back as the image's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["purification"]

_STEPS = 3
_STEP_SIZE = 0.03


def purification(model: nn.Module) -> nn.Module:
    """Return the model behind 3 steps towards a lower loss of the class that it predicts."""
    return _Purified(model)


class _Purified(nn.Module):
    """Asks the network four times an image, three times with gradients."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.training = inner.training

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the moved images."""
        with torch.inference_mode(False), torch.enable_grad():
            moved = images.detach().clone()
            for _ in range(_STEPS):
                moved.requires_grad_()
                logits = self.inner(moved)
                loss = functional.cross_entropy(logits, logits.argmax(dim=1).detach(), reduction="sum")
                (slope,) = torch.autograd.grad(loss, moved)
                moved = (moved.detach() - _STEP_SIZE * slope.sign()).clamp(0, 1)
        answer: Tensor = self.inner(moved.detach() + (images - images.detach()))
        return answer
