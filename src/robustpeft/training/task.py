"""What is to be tuned, on what, against what?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from robustpeft.objectives import Objective
from robustpeft.training.plan import TrainingPlan
from robustpeft.training.protocols import Tunable
from robustpeft.types import Split, Threat

__all__ = ["Task"]


@dataclass(frozen=True)
class Task:
    """What is to be tuned, on what, against what.

    Args:
        tunable: The model and its trained parameters.
        train: Training images.
        validation: Images on which weights are selected; never the test images.
        objective: What is minimised.
        threat: The adversary at full strength.
        plan: How.
        augment: How training images are varied, as their split understands it; None for not at all.
        seed: Of all randomness.
        identity: What else a resumed run must agree on: the technique, the frozen weights, the images.
    """

    tunable: Tunable
    train: Split
    validation: Split
    objective: Objective
    threat: Threat
    plan: TrainingPlan
    augment: Any = None
    seed: int = 0
    identity: str = ""

    def digest(self) -> str:
        """Return a digest of everything a resumed run must agree on."""
        shapes = [(n, tuple(p.shape)) for n, p in self.tunable.named_parameters().items()]
        said = (
            self.objective,
            self.threat,
            self.plan,
            self.augment,
            self.seed,
            len(self.train),
            len(self.validation),
            shapes,
            self.identity,
        )
        return hashlib.sha256(repr(said).encode()).hexdigest()[:16]
