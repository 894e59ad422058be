"""What is this machine, and does the process use it as it should? Device, threads, memory, disk, places to write."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from robustpeft.study.doctor.finding import Finding, bad, good, warn

__all__ = ["cores", "examine_machine"]

_GIB = 2**30
_LEAST_MEMORY, _LEAST_DISK, _LEAST_TEMPORARY, _LEAST_SHARED = 4 * _GIB, 5 * _GIB, 2**30, 2**28
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """Return the cores that this process may use: a container or ``taskset`` may give fewer than there are."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(allowed, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max"
        return allowed


def examine_machine(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings.

    Args:
        environment: The process's variables.
    """
    yield good("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}")
    yield _device()
    yield from _threads(environment)
    yield from _memory()
    yield from _disk("work directory", Path.cwd(), _LEAST_DISK, "runs need room for checkpoints; use another disk")
    yield from _disk("temporary files", Path(tempfile.gettempdir()), _LEAST_TEMPORARY, "set TMPDIR to a larger disk")
    shared = Path("/dev/shm")  # noqa: S108  looked at, not written to
    if shared.is_dir():
        yield from _disk("shared memory", shared, _LEAST_SHARED, "docker run --shm-size=2g", must_write=False)
    yield from _caches(environment)


def _device() -> Finding:
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        more = f", and {torch.cuda.device_count() - 1} more" if torch.cuda.device_count() > 1 else ""
        return good("device", f"{properties.name}, {properties.total_memory / _GIB:.0f} GiB{more}")
    if torch.backends.mps.is_available():
        return good("device", "Apple's GPU (mps)")
    here = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
    if here and torch.version.cuda is None:
        return bad(
            "device", "there is an NVIDIA driver, but torch is built for the CPU only", "see pytorch.org/get-started"
        )
    if here:
        return bad(
            "device",
            f"there is an NVIDIA driver, but torch (CUDA {torch.version.cuda}) sees no GPU",
            "compare with the CUDA version that nvidia-smi shows, and with CUDA_VISIBLE_DEVICES",
        )
    return good("device", "CPU only: small networks and short runs; --device cuda on a machine with a GPU")


def _threads(environment: Mapping[str, str]) -> Iterator[Finding]:
    there, used = cores(), torch.get_num_threads()
    processes = _number(environment.get("LOCAL_WORLD_SIZE", environment.get("WORLD_SIZE", ""))) or 1
    text = f"{used} for each of {processes} processes on {there} cores" if processes > 1 else f"{used} on {there} cores"
    if used * processes > there:
        yield warn(
            "threads", f"{text}: they wait for each other", f"export OMP_NUM_THREADS={max(1, there // processes)}"
        )
    else:
        yield good("threads", text)
    for name in _THREAD_VARIABLES:
        if name in environment and _number(environment[name]) is None:
            yield warn("threads", f"{name}={environment[name]!r} is no number; it is ignored", f"unset {name}")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None


def _memory() -> Iterator[Finding]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        total, free = kilobytes["MemTotal"] * 1024, kilobytes["MemAvailable"] * 1024
    except (OSError, ValueError, KeyError, IndexError):  # not Linux
        return
    text = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
    if free < _LEAST_MEMORY:
        yield warn("memory", text, "smaller training.batch_size or training.micro_batch_size; close other programs")
    else:
        yield good("memory", text)


def _disk(topic: str, path: Path, least: int, remedy: str, *, must_write: bool = True) -> Iterator[Finding]:
    free = shutil.disk_usage(path).free
    text = f"{path}: {free / _GIB:.1f} GiB free"
    if must_write and not os.access(path, os.W_OK):
        yield bad(topic, f"{path} cannot be written to", remedy)
    elif free < least:
        yield warn(topic, text, remedy)
    else:
        yield good(topic, text)


def _caches(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Where the weights of backbones, and matplotlib's fonts, are kept."""
    home = environment.get("HF_HOME") or str(Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    hub = Path(environment.get("HF_HUB_CACHE") or str(Path(home) / "hub")).expanduser()
    place = next(folder for folder in (hub, *hub.parents) if folder.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        yield bad("weights cache", f"{place} cannot be written to, so no weights can be downloaded", "set HF_HOME")
        return
    offline = environment.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    models = sorted(path.name for path in hub.glob("models--*")) if hub.is_dir() else []
    kept = f"{len(models)} models kept in {hub}" if models else f"nothing kept yet in {hub}"
    yield good("weights cache", f"{kept}{'; HF_HUB_OFFLINE is set: nothing is downloaded' if offline else ''}")
