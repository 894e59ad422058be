"""What came of a plan? For every image, attack and threat: was it broken, by what, and at what cost."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from robustpeft.attacks.plan import CLEAN, AttackPlan, Stage
from robustpeft.records import LedgerRow
from robustpeft.types import Threat

__all__ = ["CANDIDATE", "Findings", "candidate_stage", "clean_extra", "read_clean_extra"]

CANDIDATE = "sibling"
"""What the ledger calls images that were found against another model and tried before any search began."""


@dataclass
class Findings:
    """The rows of a ledger, by what they are about.

    Args:
        plan: What was tried.
        stages: All stages of the plan.
        rows: Every row so far, by stage, image and run.
    """

    plan: AttackPlan
    stages: tuple[Stage, ...]
    rows: dict[tuple[str, int, int], LedgerRow] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._breaks: dict[tuple[str, int], LedgerRow] = {}
        rows, self.rows = self.rows, {}
        self.add(rows.values())

    def add(self, rows: Iterable[LedgerRow]) -> None:
        """Take rows in."""
        for row in rows:
            self.rows[row.key] = row
            if row.broken:
                self._breaks[row.stage, row.image] = row

    def clean(self, image: int) -> LedgerRow | None:
        """Return the row of the clean image."""
        return self.rows.get((CLEAN, image, 0))

    def broke(self, image: int, attack: int, threat: int) -> LedgerRow | None:
        """Return the row that shows this attack breaking this image within this threat; None if it did not.

        A point found within a smaller radius of the same norm lies within the larger one too. An image that one found
        against another model broke (`candidate`) is not attacked again: it counts as broken by every attack but the
        narrow ones.
        """
        if self.plan.spares(attack) and (row := self.candidate(image, threat)) is not None:
            return row
        reach = self.plan.threats[threat]
        for stage in self.stages:
            inner = self.plan.threats[stage.threat]
            nested = stage.threat <= threat and inner.with_epsilon(reach.epsilon) == reach
            if stage.attack == attack and nested:
                row = self._breaks.get((stage.key(self.plan), image))
                if row is not None:
                    return row
        return None

    def candidate(self, image: int, threat: int) -> LedgerRow | None:
        """Return the row that shows an image found against another model breaking this one; None if none did."""
        reach = self.plan.threats[threat]
        for inner in self.plan.threats[: threat + 1]:
            row = self._breaks.get((candidate_stage(inner), image))
            if row is not None and inner.with_epsilon(reach.epsilon) == reach:
                return row
        return None

    def worst(self, image: int, threat: int) -> LedgerRow | None:
        """Return the first row that shows any attack breaking this image within this threat; None if none did."""
        if (row := self.candidate(image, threat)) is not None:
            return row
        for attack in range(len(self.plan.all_attacks)):
            if (row := self.broke(image, attack, threat)) is not None:
                return row
        return None

    def correct(self, ids: Sequence[int], attack: int | None, threat: int) -> Tensor:
        """Return bool (n,): the image is classified correctly, clean and under this attack, or under all if None."""
        held = []
        for image in ids:
            clean = self.clean(image)
            row = self.worst(image, threat) if attack is None else self.broke(image, attack, threat)
            held.append(clean is not None and not clean.broken and row is None)
        return torch.tensor(held, dtype=torch.bool)

    def runs_done(self, image: int, stage: str, runs: int) -> int:
        """Return how many runs of the stage have ended for this image, in order."""
        done = 0
        while done < runs and (stage, image, done) in self.rows:
            done += 1
        return done


def candidate_stage(threat: Threat) -> str:
    """Return the name under which the ledger keeps what came of candidates within this threat."""
    return f"{CANDIDATE}@{threat}"


def clean_extra(content: int, logits: Tensor) -> str:
    """Return what a clean row keeps for a later run: the hash of the pixels, and the logits bit by bit."""
    packed = base64.b64encode(logits.numpy().astype("<f4").tobytes()).decode()
    return f"{content & (1 << 64) - 1:016x} {packed}"


def read_clean_extra(text: str) -> tuple[str, Tensor]:
    """Return the hash of the pixels, and the logits (k,)."""
    content, _, packed = text.partition(" ")
    return content, torch.from_numpy(np.frombuffer(base64.b64decode(packed), "<f4").astype(np.float32))
