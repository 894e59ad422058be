"""Who works on an experiment? Whoever holds the newest claim in its directory, for as long as that one is alive.

claim-3 names a machine and a process; its time of change is the heartbeat, and 0 once the claim is given back.

Numbers only count up, and a number is taken by a hard link, which file systems make for one and refuse to all others:
two can never hold the same. Whether the holder of the newest is alive, its own machine knows from a kernel lock, at
once; other machines know it from the heartbeat, which is compared with the clock of the file server and not with their
own. So a killed process is found at once where it ran, and a dead machine after `STALE_SECONDS`; neither needs locks
that work across machines.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["BEAT_SECONDS", "STALE_SECONDS", "Claim", "claim", "is_claimed"]

BEAT_SECONDS = 20.0
STALE_SECONDS = 180.0  # network file systems show others a new time of change up to a minute late
_PREFIX = "claim-"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Claim:
    """What its holder has in hand.

    Args:
        directory: Of the experiment.
        number: Of the claim.
    """

    directory: Path
    number: int

    @property
    def file(self) -> Path:
        """Where it lies."""
        return _file(self.directory, self.number)

    def holds(self) -> bool:
        """Return whether it is still the newest: a machine that slept too long may have lost it."""
        return _newest(self.directory) == self.number


@contextmanager
def claim(directory: Path) -> Iterator[Claim | None]:
    """Within the context the experiment is this process's alone; None if another works on it.

    Cost:
        About six calls to the file system, and a thread that sleeps.
    """
    directory.mkdir(parents=True, exist_ok=True)
    own = directory / f".{_PREFIX}{uuid.uuid4().hex}"
    with own.open("x+", encoding="utf-8") as file:
        try:
            holder = {"host": socket.gethostname(), "process": os.getpid(), "machine": _machine()}
            file.write(json.dumps(holder) + "\n")
            file.flush()
            _lock(file.fileno(), fcntl.LOCK_EX)
            taken = _take(directory, own)
        finally:
            own.unlink()
        if taken is None:
            yield None
            return
        stop = threading.Event()
        heart = threading.Thread(target=_beat, args=(taken.file, stop), daemon=True)
        heart.start()
        try:
            yield taken
        finally:
            stop.set()
            heart.join()
            _give_back(taken.file)


def is_claimed(directory: Path, now: float) -> bool:
    """Return whether somebody works on the experiment.

    Args:
        directory: Of the experiment.
        now: Seconds since 1970 on the clock of the file system.
    """
    number = _newest(directory)
    return number is not None and _is_alive(_file(directory, number), now)


def _take(directory: Path, own: Path) -> Claim | None:
    number = _newest(directory)
    if number is not None and _is_alive(_file(directory, number), own.stat().st_mtime):
        return None
    mine = Claim(directory, 0 if number is None else number + 1)
    try:
        os.link(own, mine.file)
    except FileExistsError:
        return None
    if not mine.holds():  # whoever read the directory long ago may find its number free again
        mine.file.unlink(missing_ok=True)
        return None
    for other in _numbers(directory):
        if other < mine.number:
            _file(directory, other).unlink(missing_ok=True)
    return mine


def _is_alive(file: Path, now: float) -> bool:
    try:
        with file.open("r", encoding="utf-8") as stream:
            beat = os.fstat(stream.fileno()).st_mtime
            if beat == 0:
                return False
            fresh = now - beat < STALE_SECONDS
            if _machine_in(stream.read()) != _machine():
                return fresh
            free = _lock(stream.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:  # a newer claim has just replaced it
        return True
    return fresh if free is None else not free


def _lock(descriptor: int, kind: int) -> bool | None:
    """Return whether the lock was to be had; None if the file system has no locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _beat(file: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        try:
            os.utime(file)  # without times it is the server that sets them
        except OSError:
            continue  # lost, or the server is away for a while: `holds` will tell


def _give_back(file: Path) -> None:
    try:
        os.utime(file, (0, 0))
    except FileNotFoundError:
        return  # lost


def _newest(directory: Path) -> int | None:
    return max(_numbers(directory), default=None)


def _numbers(directory: Path) -> list[int]:
    try:
        names = [entry.name for entry in directory.iterdir()]
    except FileNotFoundError:
        return []
    ends = (name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))
    return [int(end) for end in ends if end.isdecimal()]


def _file(directory: Path, number: int) -> Path:
    return directory / f"{_PREFIX}{number}"


def _machine_in(text: str) -> str:
    try:
        return str(json.loads(text)["machine"])
    except (ValueError, KeyError, TypeError):
        return ""


@cache
def _machine() -> str:
    """Return what all processes under one running kernel share, in containers too."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()
