"""How does a run that was killed go on at the pass where it was? From the state of its slots, saved now and then.

The ledger says what has ended; a snapshot holds the rest. It may be older than the ledger, or missing: what it does not
hold is begun again, with the same result.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from robustpeft.attacks.search import State
from robustpeft.attacks.slots import Job

__all__ = ["Snapshots", "resumed"]

_log = logging.getLogger(__name__)

_COUNTS = ("id", "run", "passes", "forwards", "backwards", "seconds", "best")


class Snapshots:
    """The file with the unfinished jobs of one process.

    Args:
        path: The file.
        share: Of the wall time that saving may take; 1 saves after every pass.
    """

    def __init__(self, path: Path, share: float) -> None:
        self._path = path
        self._share = share
        self._due = 0.0

    def save_if_due(self, stage: str, unfinished: Callable[[], Sequence[Job]]) -> None:
        """Save the jobs unless the last time was too short ago for the share."""
        start = time.perf_counter()
        if start < self._due:
            return
        self._save(stage, [job for job in unfinished() if job.state is not None])
        end = time.perf_counter()
        self._due = end + (end - start) * (1.0 / self._share - 1.0)

    def load(self, stage: str, template: Callable[[], State]) -> dict[tuple[int, int], Mapping[str, Any]]:
        """Return what was saved of the jobs of this stage: fields of `Job` by image id and run.

        Args:
            stage: Key of the stage.
            template: Gives a state of the search with any number of rows, whose tensors are replaced.
        """
        if not self._path.is_file():
            return {}
        try:
            with safe_open(self._path, framework="pt") as file:
                said = json.loads(file.metadata()["jobs"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError, OSError) as error:
            _log.warning("%s is not readable (%s); its jobs begin again", self._path, error)
            return {}
        if said["stage"] != stage or not said["jobs"]:
            return {}
        try:
            states = template().with_tensors(tensors)
        except KeyError:
            return {}
        found: dict[tuple[int, int], Mapping[str, Any]] = {}
        for row, counts in enumerate(said["jobs"]):
            state = states.take(torch.tensor([row], device=states.step.device))
            found[counts["id"], counts["run"]] = {**counts, "state": state}
        return found

    def delete(self) -> None:
        """Remove the file: everything has ended."""
        self._path.unlink(missing_ok=True)

    def _save(self, stage: str, jobs: Sequence[Job]) -> None:
        counts = [{name: getattr(job, name) for name in _COUNTS} for job in jobs]
        rows = [job.state.tensors() for job in jobs if job.state is not None]
        tensors: dict[str, Tensor] = {}
        for name in rows[0] if rows else ():
            tensors[name] = torch.cat([row[name] for row in rows]).contiguous().cpu()
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        try:
            save_file(tensors, temporary, metadata={"jobs": json.dumps({"stage": stage, "jobs": counts})})
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)


def resumed(job: Job, saved: Mapping[str, Any] | None) -> Job:
    """Return the job as it was saved; as it is if nothing was."""
    return job if saved is None else dataclasses.replace(job, **saved)
