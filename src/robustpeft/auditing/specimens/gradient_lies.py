"""What if a gradient comes back, and is of the right size, but points elsewhere?

No test for zeros sees it; an attack that works without gradients does, or one from another model.

Source: Athalye et al. 2018, arXiv:1802.00420, Section 4.1 (a backward pass that is not the forward's derivative);
Carlini et al. 2019, arXiv:1902.06705, Section 4.5 (attacks without gradients must do no better).
"""

from __future__ import annotations

from torch import Tensor, nn

from robustpeft.auditing.specimens.around import Around

__all__ = ["flipped_gradient", "shifted_gradient"]

_SHIFT = (5, 3)


def flipped_gradient(model: nn.Module) -> nn.Module:
    """Return the model with the negative of its gradient: an attack makes the images easier."""
    return Around(model, before=lambda images: 2.0 * images.detach() - images)


def shifted_gradient(model: nn.Module) -> nn.Module:
    """Return the model with the gradient of each pixel given to another one, 5 rows and 3 columns away."""
    return Around(model, before=_borrow)


def _borrow(images: Tensor) -> Tensor:
    elsewhere = images.roll(_SHIFT, dims=(2, 3))
    return images.detach() + (elsewhere - elsewhere.detach())
