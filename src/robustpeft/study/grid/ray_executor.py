"""How do experiments run on Ray? Each is a task with its share of a node, tried again when its worker is lost."""

from __future__ import annotations

import importlib
import logging
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, final

from robustpeft.errors import UserError
from robustpeft.study.grid.executor import Executor, Parcel, Work
from robustpeft.study.grid.perform import Event, Job

__all__ = ["RayTasks"]

_log = logging.getLogger(__name__)
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent home
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a task that asked for no GPU sees none
}


@final
@dataclass(frozen=True)
class RayTasks(Executor):
    """Tasks on a Ray cluster; on one of this machine alone, for as long as this process lives, without an address.

    The connection is kept until the process ends. This process may be killed: its tasks end with it, and the next one
    goes on from what lies in the store.

    Args:
        cpus: Of each experiment, which gets as many threads; a fraction lets several share one.
        gpus: Of each experiment; 0.5 lets two share one.
        address: ``HOST:PORT`` of the head node, ``auto`` for the cluster that this machine belongs to.
        losses: How many times an experiment starts again after its worker or node was lost.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    address: str | None = None
    losses: int = 3

    def __post_init__(self) -> None:
        if self.cpus < 0 or self.gpus < 0 or self.cpus + self.gpus == 0 or self.losses < 0:
            raise UserError(f"cpus, gpus and losses must be at least 0, and not both shares 0; got {self}")

    def run(self, work: Work, jobs: Iterable[Job]) -> Iterator[Event]:
        """Yield the end of every job; whether it has started yet, the store knows."""
        asked = list(jobs)
        if not asked:
            return
        ray = self._connect()
        self._check_shares(ray, asked[0].device)
        task = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=self.losses)(_deliver)
        waiting = {task.remote(Parcel.of(work, job, self.cpus)): job for job in asked}
        try:
            while waiting:
                ready, _ = ray.wait(list(waiting))
                for reference in ready:
                    yield _event(ray, reference, waiting.pop(reference))
        finally:
            for reference in waiting:
                ray.cancel(reference, force=True)

    def _connect(self) -> Any:
        os.environ.update({key: os.environ.get(key, value) for key, value in _QUIET.items()})
        try:
            ray = importlib.import_module("ray")
        except ImportError as error:
            raise UserError(
                f"running on Ray needs the package 'ray': pip install 'robustpeft[ray]' ({error})"
            ) from error
        if ray.is_initialized():
            return ray
        quiet: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": False}
        if self.address is None:
            ray.init("local", include_dashboard=False, **quiet)  # else it would join any cluster that it finds here
            return ray
        _knock(self.address)
        try:
            ray.init(address=self.address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _no_cluster(self.address, str(error).splitlines()[0]) from error
        return ray

    def _check_shares(self, ray: Any, device: str) -> None:
        """Say it now if no node will ever have room: Ray would wait for one."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(node.get("CPU", 0) >= self.cpus and node.get("GPU", 0) >= self.gpus for node in nodes):
            most = {kind: max((node.get(kind, 0) for node in nodes), default=0) for kind in ("CPU", "GPU")}
            said = (
                f"no node has {self.cpus:g} CPUs and {self.gpus:g} GPUs (at most {most['CPU']:g} and {most['GPU']:g})"
            )
            if self.address is None:
                raise UserError(f"{said}; ask for less in the study's resources")
            _log.warning("%s; waiting for one that joins", said)
        if self.gpus == 0 and device != "cpu" and any(node.get("GPU", 0) for node in nodes):
            _log.warning("the nodes have GPUs, but experiments ask for none: give the study resources: {gpus: 1}")


def _knock(address: str) -> None:
    """Raise at once if nobody listens: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, str(error)) from error


def _no_cluster(address: str, reason: str) -> UserError:
    return UserError(f"no Ray cluster answers at {address!r} ({reason}); start one: ray start --head")


def _deliver(parcel: Parcel) -> Event:
    return parcel.deliver()


def _event(ray: Any, reference: Any, job: Job) -> Event:
    """Return how a job ended; what `work` did not catch is the loss of its worker, or of what it needs."""
    try:
        event: Event = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        reason = str(error.cause).strip().splitlines() or [type(error.cause).__name__]
        return Event(job.cell.identity, "died", reason[0], job.cell.title)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return Event(job.cell.identity, "died", f"its worker was lost: {reason[0]}", job.cell.title)
    return event
