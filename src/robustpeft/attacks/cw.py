"""CW: projected gradient ascent on the margin, ``max over wrong classes of z - z_y``, within the ball.

Source: the loss is Carlini and Wagner's (2017, arXiv:1608.04644, Section V-A, f_6 with its sign turned) without
confidence, the search Madry et al.'s (2018, arXiv:1706.06083, Section 5, where the pair appears as "CW"). It is the
CW-20 of the literature on adversarially trained ViTs (for example Mo et al. 2022, arXiv:2210.07540). Differs: Mo et
al.'s loss stops growing at a margin of 10, this one does not; the best iterate is returned, as in `PGD`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from robustpeft.attacks.ensemble import Ensemble
from robustpeft.attacks.pgd import PGD

__all__ = ["CW"]


@final
@dataclass(frozen=True)
class CW(Ensemble):
    """`PGD` that increases the margin; not the search for the smallest perturbation of the same authors.

    The gradient of a margin does not vanish where the model is very sure, as that of the cross-entropy does.

    Args:
        steps: Gradient steps, at least 1.
        step_size: In pixel units; None for ``2.5 * epsilon / steps``.
        restarts: Independent starts, at least 1.
    """

    cost: ClassVar[str] = "restarts x (steps forwards and backwards + 1 forward) + 2 forwards"

    steps: int = 20
    step_size: float | None = None
    restarts: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stages(2)

    def stages(self, classes: int) -> tuple[PGD]:
        """Return the one search."""
        return (PGD(steps=self.steps, step_size=self.step_size, restarts=self.restarts, loss="margin"),)
