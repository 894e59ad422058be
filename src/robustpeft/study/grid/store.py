"""Where do results lie, and who is working on what? One directory per experiment, named by its identity.

experiment.json    the resolved recipe and audit plan
run/               what tuning left, with its checkpoints while it lasts
audit.json, ...    the record of the audit
result.json        written last: the experiment is done
failed.json        why it is not, in one line
traceback.txt      why it is not, in full
claim-0, ...       who works on it

Several processes, machines and studies may share a store: who works on what is in `claims`.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from robustpeft.records import write_json, write_text
from robustpeft.study.grid.claims import Claim, claim, is_claimed
from robustpeft.study.grid.peak_memory import Where
from robustpeft.study.grid.task import Task

__all__ = ["CellResult", "Failure", "State", "Store"]

State = Literal["waiting", "running", "done", "failed"]
_RESULT, _FAILED, _TRACEBACK = "result.json", "failed.json", "traceback.txt"


@dataclass(frozen=True)
class CellResult:
    """What came of an experiment.

    Args:
        num_parameters: Of the whole model.
        num_trained: Trained parameters, head included.
        num_trained_head: Those of them in the head.
        validation_n: Validation images.
        validation_clean: Right of them.
        validation_robust: Right of them under the selection attack.
        seconds: Of tuning.
        audit_seconds: Of the audit.
        adapter_bytes: Size of what was trained, on disk.
        peak_bytes: Of memory, at the most; 0 if it was not measured.
        peak_of: Whose memory that is: ``process`` (all that is resident), ``cuda``, or nobody's.
        diverged: Why there is no model: the loss was not finite. Else empty.
        collapsed: Whether nearly every validation image got the same answer, even with the best weights.
    """

    num_parameters: int
    num_trained: int
    num_trained_head: int
    validation_n: int
    validation_clean: int
    validation_robust: int
    seconds: float
    audit_seconds: float = 0.0
    adapter_bytes: int = 0
    peak_bytes: int = 0
    peak_of: Where = ""
    diverged: str = ""
    collapsed: bool = False


@dataclass(frozen=True)
class Failure:
    """Why an experiment has no result.

    Args:
        reason: The first line of the error.
        details: The traceback.
    """

    reason: str
    details: str = ""


class Store:
    """A directory of experiments.

    Args:
        path: Made when something is first put there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def directory(self, identity: str) -> Path:
        """Return where an experiment lies."""
        return self.path / identity

    def result(self, identity: str) -> CellResult | None:
        """Return the result; None if there is none yet."""
        plain = _read(self.directory(identity) / _RESULT)
        return None if plain is None else CellResult(**plain)

    def failure(self, identity: str) -> Failure | None:
        """Return why it failed; None if it did not."""
        plain = _read(self.directory(identity) / _FAILED)
        if plain is None:
            return None
        try:
            details = self.traceback_of(identity).read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            details = ""
        return Failure(plain["reason"], details)

    def traceback_of(self, identity: str) -> Path:
        """Return the file with the whole of why it failed; there is none if its worker was lost."""
        return self.directory(identity) / _TRACEBACK

    def state(self, identity: str) -> State:
        """Return how far an experiment is."""
        directory = self.directory(identity)
        if (directory / _RESULT).is_file():
            return "done"
        if (directory / _FAILED).is_file():
            return "failed"
        return "running" if is_claimed(directory, time.time()) else "waiting"

    def claim(self, identity: str) -> AbstractContextManager[Claim | None]:
        """Within the context the experiment is this process's alone; None if another works on it."""
        return claim(self.directory(identity))

    def describe(self, task: Task) -> None:
        """Write what an experiment is."""
        write_json(self.directory(task.identity) / "experiment.json", task.plain())

    def finish(self, identity: str, result: CellResult) -> None:
        """Note that an experiment is done, also if it was thought lost meanwhile."""
        write_json(self.directory(identity) / _RESULT, asdict(result))
        self.forgive(identity)

    def fail(self, identity: str, failure: Failure) -> None:
        """Note that an experiment failed; it is not tried again until it is forgiven."""
        if failure.details:
            write_text(self.traceback_of(identity), failure.details)
        write_json(self.directory(identity) / _FAILED, {"reason": failure.reason})

    def forgive(self, identity: str) -> bool:
        """Let a failed experiment be tried again; return whether it had failed."""
        file = self.directory(identity) / _FAILED
        existed = file.is_file()
        file.unlink(missing_ok=True)
        self.traceback_of(identity).unlink(missing_ok=True)
        return existed

    def clean(self, identity: str) -> int:
        """Delete what a finished experiment needs no more, and all of one that failed but the reason.

        Returns:
            The bytes that were freed; 0 for one that waits or is worked on.
        """
        with self.claim(identity) as mine:
            return 0 if mine is None else self.trim(identity)

    def trim(self, identity: str) -> int:
        """Do what `clean` does, for an experiment that this process has claimed."""
        directory = self.directory(identity)
        before = size_of(directory)
        if (directory / _RESULT).is_file():
            for name in ("checkpoints", "tensorboard"):
                shutil.rmtree(directory / "run" / name, ignore_errors=True)
        elif (directory / _FAILED).is_file():
            shutil.rmtree(directory / "run", ignore_errors=True)
        return before - size_of(directory)

    def bytes_of(self, identity: str) -> int:
        """Return the disk that an experiment takes."""
        return size_of(self.directory(identity))


def size_of(directory: Path) -> int:
    """Return the bytes of all files under a directory; those that vanish meanwhile count nothing."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(folder) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found
