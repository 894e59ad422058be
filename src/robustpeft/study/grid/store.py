"""Where do results lie, and who is working on what? One directory per experiment, named by its identity.

experiment.json    the resolved recipe and audit plan
run/               what tuning left, with its checkpoints while it lasts
audit.json, ...    the record of the audit
result.json        written last: the experiment is done
failed.json        why it is not
lock               held by the process that works on it

Several processes and several studies may share a store. A lock is the kernel's (`flock`): when its holder dies, it is
free, so there are no stale locks. On a network file system it needs a server that knows locks.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

from robustpeft.records import write_json
from robustpeft.study.axes import AXES
from robustpeft.study.grid.cells import Cell
from robustpeft.types import to_plain

__all__ = ["CellResult", "Failure", "State", "Store"]

State = Literal["waiting", "running", "done", "failed"]
_ATTEMPTS = 3  # whoever looks whether an experiment is running holds its lock for a moment
_RESULT, _FAILED, _LOCK = "result.json", "failed.json", "lock"


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
        diverged: Why there is no model: the loss was not finite. Else empty.
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
    diverged: str = ""


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
        return None if plain is None else Failure(**plain)

    def state(self, identity: str) -> State:
        """Return how far an experiment is."""
        directory = self.directory(identity)
        if (directory / _RESULT).is_file():
            return "done"
        if (directory / _FAILED).is_file():
            return "failed"
        return "running" if self._is_locked(identity) else "waiting"

    @contextmanager
    def claim(self, identity: str) -> Iterator[bool]:
        """Within the context the experiment is this process's alone; False if another works on it."""
        directory = self.directory(identity)
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / _LOCK).open("a+", encoding="utf-8") as file:
            if not any(_take(file) for _ in range(_ATTEMPTS)):
                yield False
                return
            file.truncate(0)
            file.write(f"{socket.gethostname()} {os.getpid()}\n")  # for people: the lock is the kernel's
            file.flush()
            yield True

    def describe(self, cell: Cell) -> None:
        """Write what an experiment is."""
        plain = {"recipe": to_plain(cell.recipe, AXES), "audit": to_plain(cell.audit, AXES)}
        write_json(self.directory(cell.identity) / "experiment.json", plain)

    def finish(self, identity: str, result: CellResult) -> None:
        """Note that an experiment is done."""
        write_json(self.directory(identity) / _RESULT, asdict(result))

    def fail(self, identity: str, failure: Failure) -> None:
        """Note that an experiment failed; it is not tried again until it is forgiven."""
        write_json(self.directory(identity) / _FAILED, asdict(failure))

    def forgive(self, identity: str) -> bool:
        """Let a failed experiment be tried again; return whether it had failed."""
        file = self.directory(identity) / _FAILED
        existed = file.is_file()
        file.unlink(missing_ok=True)
        return existed

    def clean(self, identity: str) -> int:
        """Delete what a finished experiment needs no more, and all of one that failed but the reason.

        Returns:
            The bytes that were freed; 0 for one that waits or is worked on.
        """
        with self.claim(identity) as mine:
            return self.trim(identity) if mine else 0

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

    def _is_locked(self, identity: str) -> bool:
        try:
            with (self.directory(identity) / _LOCK).open("a", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


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


def _take(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.01)
        return False
    return True


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found
