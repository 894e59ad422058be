"""APGD: projected gradient ascent with momentum whose step size halves by itself.

    y_{k+1} = within(x_k + s_k * ascend(grad loss(x_k)))
    x_{k+1} = within(x_k + a * (y_{k+1} - x_k) + (1 - a) * (x_k - x_{k-1})),   a = 0.75; 1 in the first step

At each check-point s_k is halved, and the ascent goes on from the best point so far, if the loss grew in too few of the
steps since the last one, or if neither the step size nor the best loss has changed since then.

Source: Croce and Hein 2020, arXiv:2003.01690, Section 3 and Algorithm 1, and their code where it differs from the text:
check-points are counted in whole steps (`checkpoints`); the first loss that is compared is compared with 0, not with
that of the start; after a return to the best point the momentum points there from the last iterate but one. Differs
from both: a vanishing gradient is brought to unit length however small it is; with `samples` the loss is the mean over
all answers, not the last; several restarts towards classes try each class once before any twice.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from robustpeft.attacks.apgd_l1 import FIRST_SHARE, sparse_start, sparse_update
from robustpeft.attacks.apgd_state import APGDState
from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.losses import find_loss
from robustpeft.attacks.rows import row_where
from robustpeft.attacks.search import Course, Query, Search
from robustpeft.attacks.target import Target
from robustpeft.types import COUNT, Interval, check_fields

__all__ = ["APGD", "checkpoints"]

_KEPT = 0.75  # of the step; the rest is the step before


@final
@dataclass(frozen=True)
class APGD(Search[APGDState]):
    """Projected gradient ascent without a step size to choose, from a random start on the sphere of radius epsilon.

    The start of a run is a draw of `Threat.random` (in Linf one uniform number per value, in L2 one normal number per
    value), moved out to the sphere and clipped to the box; there is no other chance. In L1 it is the other algorithm of
    the same authors, with a start of its own (`apgd_l1.py`).

    Args:
        steps: Gradient steps, at least 1.
        restarts: Independent starts, at least 1; towards each class, if the loss is targeted.
        loss: What is increased: a name in `LOSSES`, or ``package.module:Class``.
        targets: A targeted loss is tried towards so many of the most likely wrong classes (fewer if there are fewer),
            the most likely first; at least 1.
        rho: The step size is halved where the loss grew in no more than this part of the steps; in (0, 1).
        samples: Gradients averaged in each step, for models that answer at random.
    """

    cost: ClassVar[str] = "restarts (x targets) x (steps forwards and backwards + 1 forward)"

    steps: int = 100
    restarts: int = 1
    loss: str = "cross_entropy"
    targets: int = 9
    rho: float = 0.75
    samples: int = 1

    def __post_init__(self) -> None:
        check_fields(self, steps=COUNT, restarts=COUNT, targets=COUNT, rho=Interval(0, 1, "()"), samples=COUNT)
        find_loss(self.loss)

    def course(self, classes: int) -> Course:
        """Return the gradient steps and a look at where the last one leads, towards each class."""
        targeted = find_loss(self.loss).targeted
        return Course(
            passes=self.steps + 1,
            runs=self.restarts * (self._targets(classes) if targeted and classes else 1),
            gradients=self.steps,
            loss=self.loss,
            samples=self.samples,
            needs_clean=targeted,
        )

    def init(self, target: Target) -> APGDState:
        """Return a random start on the sphere; in L1, `sparse_start`."""
        threat = target.threat
        sparse = threat.norm == "l1"
        points = sparse_start(target) if sparse else _start(target)
        targets = None
        if find_loss(self.loss).targeted and target.clean is not None:
            targets = target.likely_wrong(target.runs % self._targets(target.clean.shape[1]))
        none = torch.zeros(len(points), dtype=points.dtype, device=points.device)
        return APGDState(
            step=torch.zeros_like(target.labels),
            points=points,
            before=points,
            step_size=none + (1 if sparse else 2) * threat.epsilon,
            loss=none,
            grown=torch.zeros_like(target.labels),
            best=points,
            best_gradient=torch.zeros_like(points),
            best_loss=none - torch.inf,
            checked_loss=none - torch.inf,
            halved=torch.ones_like(target.labels, dtype=torch.bool),
            targets=targets,
            share=none + FIRST_SHARE if sparse else None,
            support=none + points[0].numel() if sparse else None,
        )

    def propose(self, target: Target, state: APGDState) -> Query:
        """Return the present iterate."""
        return Query(state.points, state.targets)

    def update(self, target: Target, state: APGDState, reply: Reply) -> APGDState:
        """Return the next iterate; the same one after the look at the end."""
        if reply.gradient is None or reply.loss is None:
            return state
        if target.threat.norm == "l1":
            return sparse_update(self.steps, target, state, reply)
        first = state.step == 0
        better = reply.loss > state.best_loss
        best = row_where(better, state.points, state.best)
        best_gradient = row_where(better, reply.gradient, state.best_gradient)
        best_loss = torch.where(better, reply.loss, state.best_loss)

        grown = state.grown + (~first & (reply.loss > state.loss))
        window = _windows(self.steps, target.images.device)[state.step.clamp(max=self.steps)]
        check = window > 0
        stuck = ~state.halved & (state.checked_loss >= best_loss)
        halve = check & ((grown <= self.rho * window) | stuck)

        step_size = torch.where(halve, state.step_size / 2, state.step_size)
        points = row_where(halve, best, state.points)
        gradient = row_where(halve, best_gradient, reply.gradient)
        return APGDState(
            step=state.step + 1,
            points=_step(target, points, state.before, gradient, step_size, first),
            before=points,
            step_size=step_size,
            loss=torch.where(first, state.loss, reply.loss),
            grown=torch.where(check, 0, grown),
            best=best,
            best_gradient=best_gradient,
            best_loss=best_loss,
            checked_loss=torch.where(check, best_loss, state.checked_loss),
            halved=torch.where(check, halve, state.halved),
            targets=state.targets,
        )

    def _targets(self, classes: int) -> int:
        return min(self.targets, classes - 1)


def checkpoints(steps: int) -> tuple[int, ...]:
    """Return the steps after which the step size is looked at.

        the first after 0.22 of all steps, each interval 0.03 of them shorter than the one before, but at least 0.06

    Each of the three is rounded down to whole steps, at least 1, as in the code of the authors; their text rounds the
    sums up instead, which is the same for 100 steps.
    """
    # In hundredths: the product of a decimal fraction may fall short of a whole number.
    first, least, less = (max(steps * part // 100, 1) for part in (22, 6, 3))
    found, interval = [first], first
    while found[-1] < steps:
        interval = max(interval - less, least)
        found.append(found[-1] + interval)
    return tuple(number for number in found if number <= steps)


@functools.lru_cache(maxsize=32)
def _windows(steps: int, device: torch.device) -> Tensor:
    """Return int64 (steps + 1,): how many steps the check-point in this pass looks back on; 0 where there is none."""
    windows, last = [0] * (steps + 1), 0
    for number in checkpoints(steps):
        windows[number], last = number - last, number
    return torch.tensor(windows, dtype=torch.int64, device=device)


def _start(target: Target) -> Tensor:
    drawn = target.threat.random(target.noise, tuple(target.images.shape[1:]))
    outwards = target.threat.epsilon / target.threat.size(drawn).clamp_min(1e-12)
    return target.within(target.images + _per_image(outwards) * drawn)


def _step(target: Target, points: Tensor, before: Tensor, gradient: Tensor, size: Tensor, first: Tensor) -> Tensor:
    straight = target.within(points + _per_image(size) * target.threat.ascend(gradient))
    kept = _per_image(torch.where(first, 1.0, _KEPT))
    return target.within(points + (straight - points) * kept + (points - before) * (1 - kept))


def _per_image(values: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1, 1)
