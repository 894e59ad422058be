"""How do experiments run on this machine? One after the other in this process, or in several processes."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import cast, final

from robustpeft.errors import UserError
from robustpeft.study.grid.executor import Executor, Work
from robustpeft.study.grid.perform import Event, Job

__all__ = ["Local"]


@final
@dataclass(frozen=True)
class Local(Executor):
    """This process, or several on this machine with one thread each.

    A job whose process dies (memory ran out, somebody killed it) gets another; one that has lost `deaths` of them is
    given up. A worker whose parent is gone ends at once.

    Args:
        workers: How many processes; 0 for this one.
        deaths: After how many deaths a job is given up.
    """

    workers: int = 0
    deaths: int = 2

    def __post_init__(self) -> None:
        if self.workers < 0 or self.deaths < 1:
            raise UserError(f"workers must be at least 0 and deaths at least 1; got {self.workers} and {self.deaths}")

    def run(self, work: Work, jobs: Iterable[Job]) -> Iterator[Event]:
        """Yield a start and an end for every job; a job that lost its process starts again."""
        return self._team(work, jobs) if self.workers else _here(work, jobs)

    def _team(self, work: Work, jobs: Iterable[Job]) -> Iterator[Event]:
        waiting, deaths = deque(jobs), Counter[str]()
        team: dict[Connection, tuple[SpawnProcess, Job]] = {}
        idle: list[tuple[Connection, SpawnProcess]] = []
        try:
            while waiting or team:
                while waiting and len(team) < self.workers:
                    connection, process = idle.pop() if idle else _hire(work)
                    job = waiting.popleft()
                    team[connection] = (process, job)
                    _send(connection, job)
                    yield Event(job.cell.identity, "started", title=job.cell.title)
                for ready in wait(list(team)):
                    connection = cast(Connection, ready)
                    process, job = team.pop(connection)
                    try:
                        event: Event = connection.recv()
                    except (EOFError, ConnectionResetError):
                        event = _lost(process, job)
                        connection.close()
                        deaths[event.identity] += 1
                        if deaths[event.identity] < self.deaths:
                            waiting.append(job)
                            continue
                    else:
                        idle.append((connection, process))
                    yield event
        finally:
            _dismiss([*idle, *((connection, process) for connection, (process, _) in team.items())])


def _here(work: Work, jobs: Iterable[Job]) -> Iterator[Event]:
    for job in jobs:
        yield Event(job.cell.identity, "started", title=job.cell.title)
        yield work(replace(job, alone=False))


def _hire(work: Work) -> tuple[Connection, SpawnProcess]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work), daemon=True)
    process.start()
    theirs.close()  # so that a worker's death closes the pipe
    return ours, process


def _send(connection: Connection, job: Job) -> None:
    try:
        connection.send(job)
    except (BrokenPipeError, ConnectionResetError):
        return  # it died while it was idle; the next look at the pipe says so


def _lost(process: SpawnProcess, job: Job) -> Event:
    process.join()
    return Event(job.cell.identity, "died", f"its process died with exit code {process.exitcode}", job.cell.title)


def _dismiss(team: list[tuple[Connection, SpawnProcess]]) -> None:
    for connection, process in team:
        connection.close()
        process.terminate()
    for _, process in team:
        process.join()


def _serve(connection: Connection, work: Work) -> None:
    """Do one job after the other until the pipe is closed."""
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            job: Job = connection.recv()
        except EOFError:
            return
        except KeyboardInterrupt:
            return
        try:
            connection.send(work(job))
        except KeyboardInterrupt:  # Ctrl-C reaches every process of a terminal; the parent says what it means
            return


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
