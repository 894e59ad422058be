"""How much memory did one experiment take at its peak? The GPU's own count, or the resident set of its process."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import torch

from robustpeft.study.device import find_device

__all__ = ["PeakMemory", "Where"]

Where = Literal["", "process", "cuda"]

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@final
@dataclass(frozen=True)
class PeakMemory:
    """A measurement that has begun.

    A process counts with all that it holds, the interpreter and torch's code included. Its kernel is told to begin
    anew with every experiment; where it cannot be told so, an experiment that stayed below an earlier one's peak is
    not measured.

    Args:
        device: Where the experiment runs; None if nothing is measured.
        before: Peak of the process until now, in bytes; 0 if it began anew.
    """

    device: torch.device | None
    before: int

    @classmethod
    def begin(cls, device: str, *, alone: bool) -> PeakMemory:
        """Begin to measure.

        Args:
            device: As for `find_device`.
            alone: Whether the process does nothing but experiments: else its memory says nothing about one.
        """
        found = find_device(device)
        if found.type == "cuda":
            torch.cuda.reset_peak_memory_stats(found)
            return cls(found, 0)
        if not alone or found.type != "cpu":
            return cls(None, 0)
        try:
            _RESET.write_text("5", encoding="ascii")  # Linux: the peak is what is resident now
        except OSError:
            return cls(found, _peak())
        return cls(found, 0)

    def end(self) -> tuple[int, Where]:
        """Return bytes and whose they are: ``process``, ``cuda``, or 0 and nobody's if it is not known."""
        if self.device is None:
            return 0, ""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device), "cuda"
        peak = _peak()
        return (peak, "process") if peak > self.before else (0, "")


def _peak() -> int:
    """Return the largest resident set of this process so far in bytes; 0 where nobody counts it."""
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    try:
        resource: Any = importlib.import_module("resource")
    except ImportError:  # Windows
        return 0
    kept = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return kept if sys.platform == "darwin" else kept * 1024
