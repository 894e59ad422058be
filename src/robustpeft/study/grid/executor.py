"""What must a place provide where experiments run? It takes jobs that do not depend on each other and tells their ends.

The store remains the truth: `work` does nothing for a job whose result is there or that somebody else has claimed, so
an executor may hand out a job twice, and several may share a store.
"""

from __future__ import annotations

import os
import pickle
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from robustpeft.errors import UserError
from robustpeft.study.grid.perform import Event, Job

__all__ = ["Executor", "Parcel", "Work"]

Work = Callable[[Job], Event]


@dataclass(frozen=True)
class Executor(ABC):
    """A frozen value that says where experiments run."""

    @abstractmethod
    def run(self, work: Work, jobs: Iterable[Job]) -> Iterator[Event]:
        """Yield what happens: that a job has started, where that is known, and how each has ended, exactly once."""


@dataclass(frozen=True)
class Parcel:
    """A job on its way to another machine, which has the same file system and the same packages.

    Args:
        payload: What does the work, and the job.
        search_path: Where modules are found, so that classes of one's own are found there too.
        directory: To which the paths of recipes are relative.
        threads: Of the worker.
    """

    payload: bytes
    search_path: tuple[str, ...]
    directory: str
    threads: int

    @classmethod
    def of(cls, work: Work, job: Job, cpus: float) -> Parcel:
        """Return a job packed for a worker with so many CPUs."""
        payload = pickle.dumps((work, replace(job, store=job.store.absolute())))
        path = tuple(dict.fromkeys(str(Path(entry).absolute()) for entry in sys.path))
        return cls(payload, path, str(Path.cwd()), max(1, int(cpus)))

    def deliver(self) -> Event:
        """Do the job, here.

        Raises:
            UserError: If this machine has another file system than the one that sent it.
        """
        import torch

        if not Path(self.directory).is_dir():
            raise UserError(f"this machine has no {self.directory}: all machines of a study need the same file system")
        os.chdir(self.directory)
        sys.path.extend(entry for entry in self.search_path if entry not in sys.path)
        torch.set_num_threads(self.threads)
        # Packed apart, to be unpacked only here: classes of one's own are found once their modules' place is known.
        work, job = pickle.loads(self.payload)  # noqa: S301 - by `of`, in a process of the same person
        event: Event = work(job)
        return event
