"""How do experiments run under SLURM? As job arrays; the store tells what is done, so that no server is needed."""

from __future__ import annotations

import importlib
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, final

from robustpeft.errors import UserError
from robustpeft.study.grid.executor import Executor, Parcel, Work
from robustpeft.study.grid.perform import Event, Job
from robustpeft.study.grid.slurm_errand import Errand
from robustpeft.study.grid.store import Store

__all__ = ["SlurmArray"]

T = TypeVar("T")
_log = logging.getLogger(__name__)
_ARRAY = 1000  # jobs; SLURM's own default allows 1001
_GRACE = 15.0  # seconds that a network file system may take to show what a job left
_FATAL = ("CANCELLED", "OUT_OF_MEMORY")  # would end the same way again, or somebody wants it so
_RULE = "----------------------"  # between which submitit writes a traceback
_UNITS = {"m": 1, "h": 60, "d": 1440}


@final
@dataclass(frozen=True)
class SlurmArray(Executor):
    """Job arrays, submitted through submitit from any machine that has ``sbatch``.

    Killing this process leaves its jobs in the queue; started again, it finds them there. A job that is preempted or
    runs out of time goes on in another one, exactly where its last checkpoint is.

    Args:
        cpus: Of each job, which gets as many threads.
        gpus: Of each job, whole ones.
        partition: Where to queue; None for the cluster's default. `account`, `qos` and `constraint` likewise.
        account: To charge.
        qos: Quality of service.
        constraint: Features that a node must have.
        time: Longest time of a job: ``90m``, ``4h``, ``2d``, ``12:00:00`` or ``1-12:00:00`` in quotes.
        mem: Memory of a job, as SLURM writes it: ``16G``.
        parallel: At most so many jobs run at once.
        together: Experiments in one job, one after the other, where they are too short for a job each.
        notice: Seconds before its time is over at which a job puts itself back into the queue.
        losses: How many times an experiment may lose its job, or run out of time, before it is given up.
        setup: Lines of shell before the job, such as ``module load cuda``.
        more: Any other options of sbatch, by name.
        cluster: ``local`` runs the same jobs as processes of this machine, all at once: to try things out.
    """

    cpus: int = 1
    gpus: int = 0
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: str | int = "4h"
    mem: str | None = None
    parallel: int = 256
    together: int = 1
    notice: int = 120
    losses: int = 20
    setup: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    cluster: Literal["slurm", "local"] = "slurm"

    def __post_init__(self) -> None:
        if min(self.cpus, self.parallel, self.together) < 1 or min(self.gpus, self.losses, self.notice) < 0:
            raise UserError(
                f"cpus, parallel and together must be at least 1, gpus, losses and notice at least 0; got {self}"
            )
        _minutes(self.time)

    def run(self, work: Work, jobs: Iterable[Job]) -> Iterator[Event]:
        """Yield the end of every job; whether it has started yet, the store knows."""
        asked = list(jobs)
        if not asked:
            return
        store = Store(asked[0].store.absolute())
        submitit = _submitit()
        queue = _Queue(
            self._submitter(submitit, store.path.with_name(f"{store.path.name}-slurm")),
            submitit.SlurmJob if self.cluster == "slurm" else submitit.LocalJob,
        )
        known = queue.find(asked)
        queue.submit([job for job in asked if job.cell.identity not in known], work, self)
        try:
            yield from _watch(queue, store, work, self)
        finally:
            queue.leave(cancel=self.cluster == "local")

    def _submitter(self, submitit: Any, logs: Path) -> Any:
        try:
            submitter = submitit.AutoExecutor(logs, cluster=self.cluster, slurm_max_num_timeout=self.losses)
        except RuntimeError as error:
            raise UserError(f"this machine cannot submit to SLURM ({error}); go to a login node") from error
        slurm = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "mem": self.mem,
            "setup": list(self.setup) or None,
            "signal_delay_s": self.notice,
            "array_parallelism": self.parallel,
            "additional_parameters": dict(self.more) or None,
        }
        submitter.update_parameters(
            name="robustpeft",
            timeout_min=_minutes(self.time),
            cpus_per_task=self.cpus,
            gpus_per_node=self.gpus or None,
            **{f"slurm_{key}": value for key, value in slurm.items()},
        )
        return submitter


class _Queue:
    """The jobs of some experiments, written down so that a later process finds them again."""

    def __init__(self, submitter: Any, kind: Any) -> None:
        self.submitter, self._kind = submitter, kind
        self.pending: dict[str, tuple[Job, Any]] = {}
        self._ours: list[Any] = []
        self._file = Path(submitter.folder) / "submitted.jsonl"

    def find(self, asked: Sequence[Job]) -> set[str]:
        """Take over what an earlier process submitted and SLURM still knows; return which experiments these are."""
        remembered = self._remembered()
        kind = self._kind
        found = {
            job.cell.identity: (job, kind(self.submitter.folder, remembered[job.cell.identity]))
            for job in asked
            if job.cell.identity in remembered
        }
        for identity, (job, submitted) in found.items():
            if not submitted.done() and submitted.state.upper() != "UNKNOWN":
                self.pending[identity] = job, submitted
        return set(self.pending)

    def submit(self, jobs: Sequence[Job], work: Work, how: SlurmArray) -> None:
        """Queue jobs as arrays."""
        parts = _cut(jobs, how.together)
        for array in _cut(parts, _ARRAY):
            with self.submitter.batch():
                queued = [
                    self.submitter.submit(Errand(tuple(Parcel.of(work, job, how.cpus) for job in part)))
                    for part in array
                ]
            new = {job.cell.identity: (job, one) for part, one in zip(array, queued, strict=True) for job in part}
            self.pending |= new
            self._ours += queued
            self._remember({identity: one.job_id for identity, (_, one) in new.items()})

    def leave(self, *, cancel: bool) -> None:
        """End watching: what is left stays in the queue, unless it is a process of this machine."""
        numbers = sorted({str(submitted.job_id).partition("_")[0] for _, submitted in self.pending.values()})
        if cancel:
            for _, submitted in self.pending.values():
                submitted.cancel(check=False)
            for submitted in self._ours:
                submitted.wait()
        elif numbers:
            _log.warning("the jobs stay in the queue; to take them out: scancel %s", " ".join(numbers))

    def _remember(self, jobs: Mapping[str, str]) -> None:
        lines = [json.dumps({"experiment": identity, "job": job}) + "\n" for identity, job in jobs.items()]
        with self._file.open("a", encoding="utf-8") as file:
            file.write("".join(lines))

    def _remembered(self) -> dict[str, str]:
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        found = {}
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the half line of a process that was killed
            found[entry["experiment"]] = entry["job"]
        return found


def _submitit() -> Any:
    try:
        return importlib.import_module("submitit")
    except ImportError as error:
        raise UserError(
            f"running under SLURM needs the package 'submitit': pip install 'robustpeft[slurm]' ({error})"
        ) from error


def _cut(values: Sequence[T], size: int) -> list[Sequence[T]]:
    return [values[i : i + size] for i in range(0, len(values), size)]


def _watch(queue: _Queue, store: Store, work: Work, how: SlurmArray) -> Iterator[Event]:
    """Yield ends as the store shows them; a job that left nothing there is submitted again."""
    losses, ended = Counter[str](), dict[str, float]()
    while queue.pending:
        lost = []
        for identity, (job, submitted) in list(queue.pending.items()):
            event = _in_store(store, job) or _in_queue(submitted, job)
            if event is None and submitted.done():
                since = ended.setdefault(identity, time.monotonic())
                if how.cluster == "local" or time.monotonic() - since > _GRACE:
                    losses[identity] += 1
                    event = _given_up(submitted, job, losses[identity], how.losses)
                    del ended[identity]
                    if event is None:
                        lost.append(job)
                        del queue.pending[identity]
            if event is not None:
                del queue.pending[identity]
                yield event
        queue.submit(lost, work, how)
        if queue.pending:
            time.sleep(max(1.0, len(queue.pending) / 100))  # so that looking never costs more than waiting


def _in_store(store: Store, job: Job) -> Event | None:
    identity = job.cell.identity
    if store.result(identity) is not None:
        return Event(identity, "done", title=job.cell.title)
    failure = store.failure(identity)
    return None if failure is None else Event(identity, "failed", failure.reason, job.cell.title)


def _in_queue(submitted: Any, job: Job) -> Event | None:
    """Return what a job said at its end, if it said anything and the store does not know it."""
    if not submitted.paths.result_pickle.exists():
        return None
    error = submitted.exception()
    if error is not None:
        lines = [line for line in str(error).split(_RULE)[-2].splitlines() if line.strip()]
        return Event(job.cell.identity, "died", lines[-1], job.cell.title)
    said: list[Event] = submitted.result()
    return next((event for event in said if event.identity == job.cell.identity and event.kind == "busy"), None)


def _given_up(submitted: Any, job: Job, count: int, losses: int) -> Event | None:
    """Return the end of an experiment whose job ended without a word; None if it gets another one."""
    state = str(submitted.state).split()[0]  # as in CANCELLED by 1000
    if state not in _FATAL and count <= losses:
        return None
    reason = f"its job {submitted.job_id} ended as {state}; see {submitted.paths.stderr}"
    return Event(job.cell.identity, "died", reason, job.cell.title)


def _minutes(said: str | int) -> int:
    """Return minutes from ``4h`` or SLURM's own ``1-12:00:00``.

    Raises:
        UserError: For a bare number, whose unit nobody can know: YAML reads 4:00:00 as 14400.
    """
    if isinstance(said, str):
        if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhd])", said.strip()):
            return max(1, round(float(match[1]) * _UNITS[match[2]]))
        if match := re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)", said.strip()):
            days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
            return max(1, 1440 * days + 60 * hours + minutes + (seconds > 0))
    raise UserError(f"time must have a unit, as in 90m, 4h, 2d, or in quotes '1-12:00:00'; got {said!r}")
