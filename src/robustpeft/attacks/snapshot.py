"""How does a run that was killed go on at the pass where it was? From the state of its slots, saved now and then.

The ledger says what has ended; a snapshot holds the rest. It may be older than the ledger, or missing: what it does not
hold is begun again, with the same result.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from robustpeft.attacks.jobs import Job
from robustpeft.attacks.search import State

__all__ = ["Snapshots"]

_log = logging.getLogger(__name__)

_COUNTS = ("id", "run", "passes", "forwards", "backwards", "seconds", "best")


class Snapshots:
    """The file with the unfinished jobs of one process.

    Args:
        path: The file.
        share: Of the wall time that saving may take; 1 saves after every pass.
        work: Digest of what is attacked and how; a file of other work is as good as none.
    """

    def __init__(self, path: Path, share: float, work: str) -> None:
        self._path = path
        self._share = share
        self._work = work
        self._due = 0.0
        self._waiting: dict[tuple[int, int], dict[str, Any]] = {}  # restored, not yet seated again: saved again too

    def save_if_due(self, stage: str, unfinished: Callable[[], Sequence[Job]]) -> None:
        """Save the jobs unless the last time was too short ago for the share; a full disk is only said."""
        start = time.perf_counter()
        if start < self._due:
            return
        under_way = [
            {name: getattr(job, name) for name in _COUNTS} | {"state": job.state}
            for job in unfinished()
            if job.state is not None
        ]
        try:
            self._save(stage, [*under_way, *self._waiting.values()])
        except (OSError, SafetensorError) as error:
            _log.warning("%s cannot be written (%s); after a kill, what is under way begins again", self._path, error)
        end = time.perf_counter()
        self._due = end + (end - start) * (1.0 / self._share - 1.0)

    def load(self, stage: str, template: Callable[[], State]) -> None:
        """Read what was saved of the jobs of this stage, to be given out by `restored`.

        Args:
            stage: Key of the stage.
            template: Gives a state of the search with any number of rows, whose tensors are replaced.
        """
        self._waiting = {}
        if not self._path.is_file():
            return
        try:
            with safe_open(self._path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata["checksum"] != _checksum(tensors, metadata["said"]):
                raise ValueError("its checksum does not fit")
            said = json.loads(metadata["said"])
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            _log.warning("%s is not readable (%s); its jobs begin again", self._path, error)
            return
        if said["work"] != self._work or said["stage"] != stage or not said["jobs"]:
            return
        states = template().with_tensors(tensors)
        for row, counts in enumerate(said["jobs"]):
            state = states.take(torch.tensor([row], device=states.step.device))
            self._waiting[counts["id"], counts["run"]] = {**counts, "state": state}

    def restored(self, job: Job) -> Job:
        """Return the job as it was saved; as it is if it was not."""
        saved = self._waiting.pop((job.id, job.run), None)
        return job if saved is None else dataclasses.replace(job, **saved)

    def delete(self) -> None:
        """Remove the file: everything has ended."""
        self._path.unlink(missing_ok=True)

    def _save(self, stage: str, jobs: Sequence[Mapping[str, Any]]) -> None:
        counts = [{name: job[name] for name in _COUNTS} for job in jobs]
        rows = [job["state"].tensors() for job in jobs]
        tensors: dict[str, Tensor] = {}
        for name in rows[0] if rows else ():
            tensors[name] = torch.cat([row[name] for row in rows]).contiguous().cpu()
        said = json.dumps({"work": self._work, "stage": stage, "jobs": counts})
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        try:
            save_file(tensors, temporary, metadata={"said": said, "checksum": _checksum(tensors, said)})
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)


def _checksum(tensors: Mapping[str, Tensor], said: str) -> str:
    value = zlib.crc32(said.encode())
    for name in sorted(tensors):
        value = zlib.crc32(name.encode(), value)
        value = zlib.crc32(tensors[name].flatten().view(torch.uint8).numpy().data, value)
    return f"{value:08x}"
