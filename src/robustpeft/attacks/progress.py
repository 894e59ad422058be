"""Where does a plan stand? What an observer is told while it is carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from robustpeft.attacks.plan import Stage
from robustpeft.records import LedgerRow

__all__ = ["Progress", "Teller"]


@dataclass(frozen=True)
class Progress:
    """Where a plan stands, after a run has ended.

    Args:
        stage: The present stage.
        number: Of the present stage, from 1.
        stages: In all.
        done: Images of the present stage that have ended.
        images: Images of the present stage.
        broken: Of those done.
        correct: Of the images of the shard that this attack is for, those that it has not broken so far, misclassified
            ones left out.
        ended: The stage is over; told of every stage, also of one with nothing to do.
    """

    stage: Stage
    number: int
    stages: int
    done: int
    images: int
    broken: int
    correct: int
    ended: bool = False


class Teller:
    """Tells the observer how one stage goes.

    Args:
        observer: Who is told; None for nobody.
        start: Where the stage stands at its beginning.
        runs: Of the search.
    """

    def __init__(self, observer: Callable[[Progress], None] | None, start: Progress, runs: int) -> None:
        self._observer = observer
        self._now = start
        self._runs = runs

    def __call__(self, rows: Sequence[LedgerRow]) -> None:
        """Count the runs that have ended."""
        now = self._now
        broken = sum(row.broken for row in rows)
        done = sum(row.broken or row.run + 1 == self._runs for row in rows)
        self._now = replace(now, done=now.done + done, broken=now.broken + broken, correct=now.correct - broken)
        if self._observer is not None:
            self._observer(self._now)

    def end(self) -> None:
        """Say that the stage is over."""
        if self._observer is not None:
            self._observer(replace(self._now, ended=True))
