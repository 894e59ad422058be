"""PGD: projected gradient ascent from a random start, with restarts and momentum.

    v_{t+1} = momentum * v_t + g_t / mean(|g_t|),   g_t = grad loss(x_t)
    x_{t+1} = project(x_t + step_size * ascend(v_{t+1}))

Source: Madry et al. 2018, arXiv:1706.06083, Section 2.1; momentum: Dong et al. 2018, arXiv:1710.06081, Equation 6 (with
the mean instead of the sum of absolute values, which ascend does not see). Differs: the best iterate of all restarts is
returned, judged by the margin and the last one included, because success at any iterate is success; ``keep="last"``
gives theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.losses import find_loss
from robustpeft.attacks.search import Course, Query, Search, State
from robustpeft.attacks.target import Target
from robustpeft.errors import UserError
from robustpeft.types import COUNT, Interval, check_fields

__all__ = ["PGD"]


@dataclass(frozen=True, kw_only=True)
class PGDState(State):
    """Where each image's ascent is.

    Args:
        points: The present iterate.
        velocity: Running sum of gradients; None without momentum.
        targets: Class to be reached, or clean logits; None unless the loss is targeted or relative.
    """

    points: Tensor
    velocity: Tensor | None = None
    targets: Tensor | None = None


@final
@dataclass(frozen=True)
class PGD(Search[PGDState]):
    """Projected gradient ascent.

    Args:
        steps: Gradient steps, at least 1.
        step_size: In pixel units; None for ``2.5 * epsilon / steps``, which can cross the ball and come back.
        restarts: Independent starts, at least 1.
        random_start: Begin at a uniformly random point of the ball; if not, at the image.
        loss: What is increased: a name in `LOSSES`, or ``package.module:Class``. A targeted one is tried towards each
            of the 9 most likely wrong classes, or all if there are fewer; each counts as a restart.
        keep: ``best`` returns the iterate with the largest margin for a wrong class, over steps and restarts, the last
            one seen too; ``last`` returns the end point of the only restart, unseen, one forward cheaper: for training.
        momentum: Factor in [0, 1) of the gradients before; 0 for none.
        samples: Gradients averaged in each step, for models that answer at random.
    """

    cost: ClassVar[str] = "restarts x (steps forwards and backwards + 1 forward); without that forward for keep='last'"

    steps: int = 20
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True
    loss: str = "cross_entropy"
    keep: Literal["best", "last"] = "best"
    momentum: float = 0.0
    samples: int = 1

    def __post_init__(self) -> None:
        check_fields(
            self,
            steps=COUNT,
            step_size=Interval(0, ends="()", note=", in pixel units"),
            restarts=COUNT,
            momentum=Interval(0, 1, "[)"),
            samples=COUNT,
        )
        targeted = find_loss(self.loss).targeted
        if self.keep == "last" and (self.restarts > 1 or targeted):
            raise UserError("keep='last' forgets every restart but one; use keep='best' with restarts")
        if self.restarts > 1 and not self.random_start:
            raise UserError("restarts without random_start repeat the same search")

    def course(self, classes: int) -> Course:
        """Return the gradient steps, and a look at the end unless it is the answer itself."""
        loss = find_loss(self.loss)
        return Course(
            passes=self.steps + (self.keep == "best"),
            runs=self.restarts * (min(9, classes - 1) if loss.targeted and classes else 1),
            gradients=self.steps,
            loss=self.loss,
            samples=self.samples,
            needs_clean=loss.targeted or loss.relative,
            unseen_end=self.keep == "last",
        )

    def init(self, target: Target) -> PGDState:
        """Return a random start, or the images.

        Raises:
            UserError: If the step is larger than any ball of the threat's norm, which means other units.
        """
        threat = target.threat
        if self.step_size is not None and self.step_size > threat.max_epsilon:
            raise UserError(
                f"step_size must be in pixel units on [0, 1] in {threat.norm}; got {self.step_size:g} "
                f"(did you mean {self.step_size:g} / 255?)"
            )
        points = target.images
        if self.random_start:
            start = threat.random(target.noise, tuple(points.shape[1:]))
            points = target.within(points + start.to(points.dtype))
        loss, targets = find_loss(self.loss), None
        if loss.relative:
            targets = target.clean
        elif loss.targeted and target.clean is not None:
            targets = target.likely_wrong(target.runs % min(9, target.clean.shape[1] - 1))
        return PGDState(
            step=torch.zeros_like(target.labels),
            points=points,
            velocity=torch.zeros_like(points) if self.momentum else None,
            targets=targets,
        )

    def propose(self, target: Target, state: PGDState) -> Query:
        """Return the present iterate."""
        return Query(state.points, state.targets)

    def update(self, target: Target, state: PGDState, reply: Reply) -> PGDState:
        """Return the next iterate; the same one after the look at the end."""
        if reply.gradient is None:
            return state
        threat = target.threat
        step_size = self.step_size if self.step_size is not None else 2.5 * threat.epsilon / self.steps
        direction, velocity = reply.gradient, state.velocity
        if velocity is not None:
            mean = direction.abs().mean(dim=(1, 2, 3), keepdim=True)
            velocity = direction = self.momentum * velocity + direction / mean.clamp_min(1e-30)
        return PGDState(
            step=state.step + 1,
            points=target.within(state.points + step_size * threat.ascend(direction)),
            velocity=velocity,
            targets=state.targets,
        )
