"""PGD that forgets: before every step the perturbation of some patches is set back to 0.

    x_t = x + mask_t * (x'_t - x),     x'_{t+1} = project(x_t + step_size * ascend(grad loss(x_t)))

mask_t is 0 on a share of the patches, drawn anew for every image and step. The end point is not masked.

Source: Mo et al. 2022, arXiv:2210.07540, Section 4.2 (perturbation random masking) and their code. Differs: each image
has patches of its own, theirs are the same for the whole batch; their number is rounded, theirs cut off.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from robustpeft.attacks import Course, Query, Search, State, Target
from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.rows import row_where
from robustpeft.perturbations.cells import drop_cells
from robustpeft.types import COUNT, Interval, check_fields

__all__ = ["MaskedPGD"]


@dataclass(frozen=True, kw_only=True)
class MaskedState(State):
    """Where each image's ascent is; masked already."""

    points: Tensor


@final
@dataclass(frozen=True)
class MaskedPGD(Search[MaskedState]):
    """Projected gradient ascent from a random start that forgets a share of its perturbation before every step.

    Args:
        steps: Gradient steps, at least 1.
        step_size: In pixel units; None for ``2.5 * epsilon / steps``.
        forget: Share of the patches that are set back, in [0, 1]; 0 is PGD.
        patch_size: Side of a patch in pixels; divides the height and width of the image.
    """

    cost: ClassVar[str] = "steps forwards and backwards"

    steps: int = 10
    step_size: float | None = None
    forget: float = 0.0
    patch_size: int = 16

    def __post_init__(self) -> None:
        check_fields(
            self,
            steps=COUNT,
            step_size=Interval(0, ends="()", note=", in pixel units"),
            forget=Interval(0, 1),
            patch_size=COUNT,
        )

    def course(self, classes: int) -> Course:
        """Return the gradient steps; nobody looks at the end."""
        return Course(passes=self.steps, gradients=self.steps, loss="cross_entropy", unseen_end=True)

    def init(self, target: Target) -> MaskedState:
        """Return a random start, masked."""
        start = target.threat.random(target.noise, tuple(target.images.shape[1:])).to(target.images.dtype)
        points = self._masked(target, target.within(target.images + start), "start")
        return MaskedState(step=torch.zeros_like(target.labels), points=points)

    def propose(self, target: Target, state: MaskedState) -> Query:
        """Return the present points."""
        return Query(state.points)

    def update(self, target: Target, state: MaskedState, reply: Reply) -> MaskedState:
        """Return the points after a step; masked unless it was the last."""
        assert reply.gradient is not None
        step_size = self.step_size if self.step_size is not None else 2.5 * target.threat.epsilon / self.steps
        points = target.within(state.points + step_size * target.threat.ascend(reply.gradient))
        step = state.step + 1
        points = row_where(step < self.steps, self._masked(target, points, "step"), points)
        return MaskedState(step=step, points=points)

    def _masked(self, target: Target, points: Tensor, stream: str) -> Tensor:
        if self.forget == 0:
            return points
        noise = dataclasses.replace(target.noise, stream=f"{target.noise.stream}/{stream}")
        delta = drop_cells(points - target.images, noise, cell=self.patch_size, ratio=self.forget, fill=0.0)
        return target.within(target.images + delta)
