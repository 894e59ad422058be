"""FMN: gradient ascent in a ball that shrinks while its image is misclassified, and grows while it is not.

    e' = max(|d| + |m| / |grad m|_dual, (1 + gamma) * |p|)    until a misclassified point was seen
    e' = (1 + gamma) * e                  afterwards, where the point looked at is not misclassified
    e' = min((1 - gamma) * e, best)       where it is; best is the smallest norm of a misclassified point
    p' = project(d + alpha * grad m / |grad m|_2, e'),   d' = clip(p')

m is the margin, and d the perturbation; |m| / |grad m|_dual would be the way to a boundary that is a plane. With the
number of steps done, alpha and gamma fall along half a cosine.

Source: Pintor, Roli, Brendel and Biggio 2021, arXiv:2102.12827, Section 3 and Algorithm 1; their code for what the text
leaves open: alpha ends at a hundredth of where it began, and no ball is larger than the box. Differs: where the last
step leads is looked at too; without the first maximum, planes, and boundaries beyond clipped pixels, may be approached
and never crossed. The threat's epsilon plays no role in where it looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.search import Course, Query, Search, State
from robustpeft.attacks.target import Target
from robustpeft.errors import UserError
from robustpeft.types import COUNT, L2, Interval, check_fields

__all__ = ["FMN"]


@dataclass(frozen=True, kw_only=True)
class FMNState(State):
    """Each image's ball.

    Args:
        points: Where to look next.
        radius: (b,), of the ball; infinite at the beginning.
        reach: (b,), norm of the perturbation before it was clipped to the box.
        best_size: (b,), smallest norm of a misclassified point seen; infinite as long as there is none.
    """

    points: Tensor
    radius: Tensor
    reach: Tensor
    best_size: Tensor


@final
@dataclass(frozen=True)
class FMN(Search[FMNState]):
    """Minimal perturbations by ascent in balls of adaptive size; they count as found if they are small enough.

    It draws no random numbers.

    Args:
        steps: Gradient steps, at least 1.
        alpha_init: Euclidean length of the first step, in pixel units, under every norm.
        gamma_init: Part by which a ball grows or shrinks in the first step, in (0, 1).
        gamma_final: Where gamma ends, in (0, gamma_init].
    """

    cost: ClassVar[str] = "steps forwards and backwards + 1 forward"

    steps: int = 100
    alpha_init: float = 1.0
    gamma_init: float = 0.05
    gamma_final: float = 0.001

    def __post_init__(self) -> None:
        share = Interval(0, 1, "()")
        above_0 = Interval(0, ends="()", note=", in pixel units")
        check_fields(self, steps=COUNT, alpha_init=above_0, gamma_init=share, gamma_final=share)
        if self.gamma_final > self.gamma_init:
            raise UserError(
                f"gamma_final must not be larger than gamma_init; got {self.gamma_final:g} and {self.gamma_init:g}"
            )

    def course(self, classes: int) -> Course:
        """Return the gradient steps, and a look at the end."""
        return Course(passes=self.steps + 1, gradients=self.steps, loss="margin", inside=False)

    def init(self, target: Target) -> FMNState:
        """Return the images, with balls that have no end yet.

        Raises:
            UserError: If the threat's norm is neither Linf nor L2.
        """
        if target.threat.norm not in ("linf", "l2"):
            raise UserError(f"FMN is written for linf and l2; got {target.threat.norm}")
        endless = torch.full_like(target.images[:, 0, 0, 0], torch.inf)
        return FMNState(
            step=torch.zeros_like(target.labels),
            points=target.images,
            radius=endless,
            reach=torch.zeros_like(endless),
            best_size=endless,
        )

    def propose(self, target: Target, state: FMNState) -> Query:
        """Return the present iterate."""
        return Query(state.points)

    def update(self, target: Target, state: FMNState, reply: Reply) -> FMNState:
        """Return the next ball, and the next iterate in it; the same ones after the look at the end."""
        if reply.gradient is None or reply.loss is None:
            return state
        threat, images = target.threat, target.images
        cosine = (0.5 + 0.5 * torch.cos(state.step.double() * (math.pi / self.steps))).to(images.dtype)
        alpha = self.alpha_init * (0.01 + 0.99 * cosine)
        gamma = self.gamma_final + (self.gamma_init - self.gamma_final) * cosine

        delta = state.points - images
        size = threat.size(delta)
        wrong = reply.logits.argmax(dim=1) != target.labels
        best_size = torch.where(wrong, torch.minimum(size, state.best_size), state.best_size)
        to_boundary = reply.loss.abs() / _dual_size(reply.gradient, threat.norm).clamp_min(1e-12)
        towards = torch.maximum(size + to_boundary, state.reach * (1 + gamma))
        larger = torch.where(best_size < torch.inf, state.radius * (1 + gamma), towards)
        smaller = torch.minimum(state.radius * (1 - gamma), best_size)
        of_box = threat.size(torch.maximum(images, 1 - images))
        radius = torch.minimum(torch.where(wrong, smaller, larger), of_box)

        stepped = delta + _per_image(alpha) * L2(0.0).ascend(reply.gradient)
        inside = _into_ball(stepped, radius, threat.norm)
        return FMNState(
            step=state.step + 1,
            points=(images + inside).clamp(0.0, 1.0),
            radius=radius,
            reach=threat.size(inside),
            best_size=best_size,
        )


def _dual_size(gradient: Tensor, norm: str) -> Tensor:
    """Return by how much (b,) a linear function with this gradient grows at most over a distance of 1."""
    size: Tensor = torch.linalg.vector_norm(gradient.flatten(1), ord=1 if norm == "linf" else 2, dim=1)
    return size


def _into_ball(delta: Tensor, radius: Tensor, norm: str) -> Tensor:
    """Return the nearest points of balls with these radii (b,)."""
    if norm == "linf":
        return delta.clamp(min=-_per_image(radius), max=_per_image(radius))
    length: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
    return delta * _per_image((radius / length.clamp_min(1e-12)).clamp_max(1.0))


def _per_image(values: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1, 1)
