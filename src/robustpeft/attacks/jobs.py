"""What is one image on its way through a search? A job, until it ends as a row of the ledger."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robustpeft.attacks.judge import Judge
from robustpeft.attacks.losses import margin
from robustpeft.attacks.search import Search, State
from robustpeft.records import LedgerRow
from robustpeft.types import Classifier, Threat

__all__ = ["Claim", "Found", "Job", "Work"]


@dataclass
class Job:
    """One image in one run, and what was spent on it so far.

    Args:
        image: Float32 (3, h, w), clean, where the model lies.
        label: True class.
        id: The image's id.
        clean: Logits (k,) of the clean image, on the CPU.
        run: Of the search.
        passes: Done in this run.
        forwards: Spent in this run.
        backwards: Likewise.
        seconds: Likewise.
        best: Largest margin of this run that stands: the clean image's to begin with, and the judge's where a claim of
            the search was refuted.
        state: A state to go on from, one row; None to begin.
    """

    image: Tensor
    label: int
    id: int
    clean: Tensor
    run: int = 0
    passes: int = 0
    forwards: int = 0
    backwards: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    state: State | None = None

    def __post_init__(self) -> None:
        if not self.passes:
            self.best = float(margin(self.clean[None], torch.tensor([self.label])))

    def row(self, stage: str) -> LedgerRow:
        """Return what the ledger keeps of a run that found nothing."""
        return LedgerRow(
            image=self.id,
            stage=stage,
            run=self.run,
            broken=False,
            step=0,
            prediction=int(self.clean.argmax()),
            margin=self.best,
            forwards=self.forwards,
            backwards=self.backwards,
            seconds=round(self.seconds, 6),
        )


@dataclass(frozen=True)
class Claim:
    """A point at which the search believes the image broken.

    Args:
        job: The image.
        point: Float32 (3, h, w).
        state: One row: where to go on if the judge does not confirm it.
        over: There is nowhere to go on to: the run ends here.
    """

    job: Job
    point: Tensor
    state: State
    over: bool


@dataclass(frozen=True)
class Found:
    """A run that has ended.

    Args:
        row: What the ledger keeps.
        point: Float32 (3, h, w), the image that broke the model; None if the run found nothing.
    """

    row: LedgerRow
    point: Tensor | None


@dataclass(frozen=True)
class Work:
    """What stays the same for all images of a stage.

    Args:
        view: What is attacked.
        judge: Who decides.
        search: The search.
        stream: Name of the chance it uses.
        stage: Key in the ledger.
        threat: Norm and epsilon.
        seed: Of all randomness.
        classes: Of the model.
        width: Slots.
    """

    view: Classifier
    judge: Judge
    search: Search[Any]
    stream: str
    stage: str
    threat: Threat
    seed: int
    classes: int
    width: int
