"""What if the answer is drawn by lot? One gradient is then not the gradient, and one answer not the answer.

Source: Athalye et al. 2018, arXiv:1802.00420, Section 3.1 ("stochastic gradients"), with Xie et al. 2018,
arXiv:1711.01991 (random resizing and padding), as an example; Cohen et al. 2019, arXiv:1902.02918, for noise on inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustpeft.auditing.specimens.around import Around

__all__ = ["noisy_inputs", "noisy_logits", "random_padding"]

_LOGIT_SHARE = 0.05
_INPUT_DEVIATION = 0.05
_SMALLER_BY = 2


def noisy_logits(model: nn.Module) -> nn.Module:
    """Return the model with noise on its logits, of 5 % of their spread: the class seldom changes."""
    return Around(model, after=lambda z: z + _LOGIT_SHARE * z.std(dim=1, keepdim=True).detach() * torch.randn_like(z))


def noisy_inputs(model: nn.Module) -> nn.Module:
    """Return the model behind noise from a generator of its own, which resetting the global one does not repeat."""
    return Around(model, before=_OwnNoise(_INPUT_DEVIATION))


def random_padding(model: nn.Module) -> nn.Module:
    """Return the model behind a random shrinking by up to 2 pixels and a random place on a black background."""
    return Around(model, before=_shrink_and_place)


class _OwnNoise(nn.Module):
    """Adds normal noise."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, images: Tensor) -> Tensor:
        """Return the images with noise; another one each time."""
        noise = torch.randn(images.shape, generator=self.generator)
        return images + self.deviation * noise.to(images)


def _shrink_and_place(images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    less = int(torch.randint(0, _SMALLER_BY + 1, ()))
    small = functional.interpolate(images, (height - less, width - less), mode="bilinear", antialias=True)
    top, left = (int(torch.randint(0, less + 1, ())) for _ in range(2))
    return functional.pad(small, (left, less - left, top, less - top))
