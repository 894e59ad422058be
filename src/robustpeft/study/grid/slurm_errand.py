"""What does a SLURM job do? Some experiments, one after the other, and it ends well when it is told to."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from types import FrameType
from typing import Any

from robustpeft.study.grid.executor import Parcel
from robustpeft.study.grid.perform import Event

__all__ = ["Errand"]


@dataclass(frozen=True)
class Errand:
    """What submitit calls in a job, with its way to go on after an interruption.

    Two kinds of signals may come. SIGUSR1 and SIGUSR2 say that the time is nearly over: the job puts itself back into
    the queue. SIGTERM says that it must go: SLURM queues a preempted job itself, and one that a person cancelled must
    stay so. Either way the last checkpoint is there already, and so is the audit's ledger; what the interruption costs
    is the epoch it falls into.

    Args:
        parcels: The experiments.
    """

    parcels: tuple[Parcel, ...]

    def __call__(self) -> list[Event]:
        """Do all experiments; those that are done already take no time."""
        _listen()
        return [parcel.deliver() for parcel in self.parcels]

    def checkpoint(self) -> Any:
        """Return what is to be done when the job starts again: the same, as the store knows what is done."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _listen() -> None:
    requeue = signal.getsignal(getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"))
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, requeue)
    signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # claims are given back on the way out
