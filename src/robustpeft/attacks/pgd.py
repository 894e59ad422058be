"""PGD: projected gradient ascent from a random start, with restarts.

    x_{t+1} = project(x_t + step_size * ascend(grad loss(x_t)))

Source: Madry et al. 2018, arXiv:1706.06083, Section 2.1. Differs: the best iterate of all restarts is returned, judged
by the margin and the last one included, because success at any iterate is success; ``keep="last"`` gives theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from robustpeft.attacks.base import Attack, Target, check_logits, evaluate
from robustpeft.attacks.losses import find_loss, margin
from robustpeft.errors import UserError
from robustpeft.types import Classifier

__all__ = ["PGD"]


@final
@dataclass(frozen=True)
class PGD(Attack):
    """Projected gradient ascent.

    Args:
        steps: Gradient steps, at least 1.
        step_size: In pixel units; None for ``2.5 * epsilon / steps``, which can cross the ball and come back.
        restarts: Independent starts, at least 1.
        random_start: Begin at a uniformly random point of the ball; if not, at the image.
        loss: What is increased, ``cross_entropy`` or ``margin``.
        keep: ``best`` returns the iterate with the largest margin for a wrong class, over steps and restarts, the last
            one seen too; ``last`` returns the end point of the only restart, unseen, one forward cheaper: for training.
    """

    cost: ClassVar[str] = "restarts x (steps forwards and backwards + 1 forward); without that forward for keep='last'"

    steps: int = 20
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True
    loss: str = "cross_entropy"
    keep: Literal["best", "last"] = "best"

    def __post_init__(self) -> None:
        find_loss(self.loss)
        if self.steps < 1 or self.restarts < 1:
            raise UserError(f"steps and restarts must be at least 1; got {self.steps} and {self.restarts}")
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise UserError(f"step_size must be positive and finite, in pixel units; got {self.step_size:g}")
        if self.keep not in ("best", "last"):
            raise UserError(f"keep must be 'best' or 'last'; got {self.keep!r}")
        if self.keep == "last" and self.restarts > 1:
            raise UserError("keep='last' forgets every restart but one; use keep='best' with restarts")
        if self.restarts > 1 and not self.random_start:
            raise UserError("restarts without random_start repeat the same search")

    def search(self, view: Classifier, target: Target) -> Tensor:
        """Return the best or last iterates.

        Raises:
            UserError: If the step is larger than any ball of the threat's norm, which means other units.
        """
        if self.step_size is not None and self.step_size > target.threat.max_epsilon:
            raise UserError(
                f"step_size must be in pixel units on [0, 1] in {target.threat.norm}; got {self.step_size:g} "
                f"(did you mean {self.step_size:g} / 255?)"
            )
        best = _Best(target)
        for restart in range(self.restarts):
            last = self._ascend(view, target, restart, best)
            if self.keep == "last":
                return last
            with torch.no_grad():
                best.offer(last, check_logits(view(last), target.labels))
        return best.images

    def _ascend(self, view: Classifier, target: Target, restart: int, best: _Best) -> Tensor:
        threat = target.threat
        step_size = self.step_size if self.step_size is not None else 2.5 * threat.epsilon / self.steps
        points = target.images
        if self.random_start:
            start = threat.random(target.noise.at(restart=restart), tuple(points.shape[1:]))
            points = target.within(points + start.to(points.dtype))
        for _ in range(self.steps):
            found = evaluate(view, points, target.labels, self.loss)
            if self.keep == "best":
                best.offer(points, found.logits)
            points = target.within(points + step_size * threat.ascend(found.gradient))
        return points


class _Best:
    """The iterate with the largest margin seen so far, per image."""

    def __init__(self, target: Target) -> None:
        self.labels = target.labels
        self.images = target.images
        self.margins = torch.full((len(target.labels),), -torch.inf, device=target.images.device)

    def offer(self, points: Tensor, logits: Tensor) -> None:
        """Keep the points where they are better."""
        margins = margin(logits.float(), self.labels)
        better = margins > self.margins
        self.images = torch.where(better[:, None, None, None], points, self.images)
        self.margins = torch.where(better, margins, self.margins)
