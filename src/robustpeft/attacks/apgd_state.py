"""What does APGD remember of each image?"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from robustpeft.attacks.search import State

__all__ = ["APGDState"]


@dataclass(frozen=True, kw_only=True)
class APGDState(State):
    """Where each image's ascent is, where it has been best, and what happened since its last check-point.

    Args:
        points: The present iterate.
        before: The iterate before it.
        step_size: (b,), in pixel units.
        loss: (b,), of the last iterate looked at; 0 until the start has been left.
        grown: Int64 (b,), steps since the last check-point in which the loss grew.
        best: Where the loss was the largest.
        best_gradient: Gradient there.
        best_loss: (b,), loss there.
        checked_loss: (b,), the best loss at the last check-point.
        halved: Bool (b,), the step size was halved there; true before the first.
        targets: Class to be reached; None unless the loss is targeted.
        share: (b,), part of the values that a step changes; None but in L1.
        support: (b,), values by which the best point differed from the image at the last check-point; None but in L1.
    """

    points: Tensor
    before: Tensor
    step_size: Tensor
    loss: Tensor
    grown: Tensor
    best: Tensor
    best_gradient: Tensor
    best_loss: Tensor
    checked_loss: Tensor
    halved: Tensor
    targets: Tensor | None = None
    share: Tensor | None = None
    support: Tensor | None = None
