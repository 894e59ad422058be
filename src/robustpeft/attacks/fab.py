"""FAB: to and fro across the decision boundary, each time nearer to the image; towards one class after another.

    d_1, d_0 = the shortest ways inside [0, 1] from the iterate x and from the image x_0 to the plane on which
               z_t - z_y, linearised at x, vanishes
    a        = min(|d_1| / (|d_1| + |d_0|), alpha_max)
    x'       = clip((1 - a) * (x + eta * d_1) + a * (x_0 + eta * d_0))
    x''      = x_0 + beta * (x' - x_0) where x' is misclassified, else x'

Source: Croce and Hein 2020, arXiv:1907.02044, Section 2 and Algorithm 1, in the targeted form of arXiv:2003.01690: a
random start in the restarts after the first only, no search at the end. It looks for the smallest perturbation, so the
threat's epsilon is no more than twice the radius of random starts. Differs from their code: each restart tries all
classes, not each class all restarts; misclassified images are searched as well; a weight below 1e-8 counts in L2 too.

A step takes two passes, a look at x' for the label and one at x'' for the gradient, as in their code. Where x' is not
misclassified the two could be one, but on trained models that is 1 or 2 of 100 steps, and a gradient at every x' would
cost more than it saves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.linear_projections import to_hyperplane
from robustpeft.attacks.rows import row_where
from robustpeft.attacks.search import Course, Query, Search, State
from robustpeft.attacks.target import Target
from robustpeft.errors import UserError
from robustpeft.types import COUNT, Interval, check_fields

__all__ = ["FAB"]


@dataclass(frozen=True, kw_only=True)
class FABState(State):
    """Before even passes x'', where the gradient is asked for; before odd ones x', of which the label is.

    Args:
        points: Where to look next.
        targets: Class to be reached.
    """

    points: Tensor
    targets: Tensor


@final
@dataclass(frozen=True)
class FAB(Search[FABState]):
    """Minimal perturbations by projection onto the linearised boundary; they count as found if they are small enough.

    Run r is restart r // t towards the wrong class of rank r % t, t the number of classes tried. A restart after the
    first draws once, in pass 0 and with purpose 0: uniform numbers on [0, 1) in Linf, normal ones in L2.

    Args:
        steps: Projections in a run, at least 1.
        restarts: Starts for each class: the image, then random points at half of epsilon.
        targets: How many of the most likely wrong classes are tried, at least 1; all if there are fewer.
        alpha_max: Largest weight of the way from the image itself, in [0, 1].
        eta: How far beyond the plane to go; at least 1.
        beta: How much of a perturbation is left when it is drawn back, in (0, 1).
    """

    cost: ClassVar[str] = "1 forward + restarts x targets x steps x (2 forwards + 1 backward)"

    steps: int = 100
    restarts: int = 1
    targets: int = 9
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9

    def __post_init__(self) -> None:
        check_fields(
            self,
            steps=COUNT,
            restarts=COUNT,
            targets=COUNT,
            alpha_max=Interval(0, 1),
            eta=Interval(1, 2, "[)", ": 1 goes to the plane, 2 as far beyond"),
            beta=Interval(0, 1, "()"),
        )

    def course(self, classes: int) -> Course:
        """Return runs of twice as many passes as steps, a gradient in every other."""
        return Course(
            passes=2 * self.steps,
            runs=self.restarts * self._classes_tried(classes),
            gradients=2 * self.steps,
            every=2,
            loss="targeted_margin",
            needs_clean=True,
            inside=False,
        )

    def init(self, target: Target) -> FABState:
        """Return the images in the runs of the first restart, random points in those of the others.

        Raises:
            UserError: If the threat's norm is neither Linf nor L2.
        """
        assert target.clean is not None, "the course asks for clean logits"
        threat, images = target.threat, target.images
        if threat.norm not in ("linf", "l2"):
            raise UserError(f"FAB is written for linf and l2; got {threat.norm}")
        tried = self._classes_tried(target.clean.shape[1])
        points = images
        if self.restarts > 1:
            shape = tuple(images.shape[1:])
            drawn = target.noise.uniform(shape) * 2 - 1 if threat.norm == "linf" else target.noise.normal(shape)
            radius = 0.5 * threat.epsilon / threat.size(drawn).clamp_min(1e-12)
            start = (images + _per_image(radius) * drawn).clamp(0.0, 1.0).to(images.dtype)
            points = row_where(target.runs >= tried, start, images)
        return FABState(
            step=torch.zeros_like(target.labels),
            points=points,
            targets=target.likely_wrong(target.runs % tried),
        )

    def propose(self, target: Target, state: FABState) -> Query:
        """Return the point after the last step, or the one it was drawn back to."""
        return Query(state.points, state.targets)

    def update(self, target: Target, state: FABState, reply: Reply) -> FABState:
        """Return a step further where the gradient was asked for; where the label was, drawn back if it is wrong."""
        points, images = state.points, target.images
        stepped = state.step % 2 == 1
        wrong = reply.logits.argmax(dim=1) != target.labels
        after = row_where(wrong, images + self.beta * (points - images), points)
        if reply.gradient is not None:
            after = row_where(stepped, after, self._ahead(target, points, reply))
        return FABState(step=state.step + 1, points=after, targets=state.targets)

    def _ahead(self, target: Target, points: Tensor, reply: Reply) -> Tensor:
        """Return the next iterate: a mean of what is beyond the plane from here and from the image."""
        assert reply.loss is not None
        assert reply.gradient is not None
        here, start, weights = points.flatten(1), target.images.flatten(1), reply.gradient.flatten(1)
        of_start = reply.loss + (weights * (start - here)).sum(dim=1)
        ways = to_hyperplane(
            torch.cat([here, start]),
            torch.cat([weights, weights]),
            torch.cat([reply.loss.to(of_start), of_start]),
            target.threat.norm,
        ).reshape(-1, *points.shape[1:])
        way, way_of_start = ways.chunk(2)
        length, length_of_start = target.threat.size(ways).clamp_min(1e-8).chunk(2)
        alpha = _per_image((length / (length + length_of_start)).clamp_max(self.alpha_max))
        mean = (1 - alpha) * (points + self.eta * way) + alpha * (target.images + self.eta * way_of_start)
        return mean.clamp(0.0, 1.0)

    def _classes_tried(self, classes: int) -> int:
        return min(self.targets, classes - 1) if classes else 1


def _per_image(values: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1, 1)
