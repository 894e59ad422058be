"""FGSM: one step along the gradient.

    x' = clip(x + epsilon * sign(grad loss(x)))        in Linf; the normalised gradient in L2

Source: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, Section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.losses import find_loss
from robustpeft.attacks.search import Course, Query, Search, State
from robustpeft.attacks.target import Target

__all__ = ["FGSM"]


@dataclass(frozen=True, kw_only=True)
class FGSMState(State):
    """Where the one step begins, and then where it ends."""

    points: Tensor


@final
@dataclass(frozen=True)
class FGSM(Search[FGSMState]):
    """One full step of size epsilon along the direction of steepest ascent.

    Args:
        loss: What is increased, ``cross_entropy`` or ``margin``.
    """

    cost: ClassVar[str] = "1 forward, 1 backward"

    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        super().__post_init__()
        find_loss(self.loss)

    def course(self, classes: int) -> Course:
        """Return one pass whose end nobody looks at."""
        return Course(passes=1, gradients=1, loss=self.loss, unseen_end=True)

    def init(self, target: Target) -> FGSMState:
        """Return the images themselves."""
        return FGSMState(step=torch.zeros_like(target.labels), points=target.images)

    def propose(self, target: Target, state: FGSMState) -> Query:
        """Return the present points."""
        return Query(state.points)

    def update(self, target: Target, state: FGSMState, reply: Reply) -> FGSMState:
        """Return the points after the step."""
        assert reply.gradient is not None
        ascended = target.images + target.threat.epsilon * target.threat.ascend(reply.gradient)
        return FGSMState(step=state.step + 1, points=target.within(ascended))
