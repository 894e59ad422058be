"""With which number does a command end? One table, for scripts and CI."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["MEANINGS", "ExitStatus"]


class ExitStatus(IntEnum):
    """What the caller of a command is told."""

    DONE = 0
    FAILED = 1
    UNUSABLE = 2
    BUG = 70
    INTERRUPTED = 130
    NOBODY_READS = 141


MEANINGS = {
    ExitStatus.DONE: "done, and nothing was refuted",
    ExitStatus.FAILED: "done, and the answer is no: a gate is not met, a claim is refuted, the doctor found it broken",
    ExitStatus.UNUSABLE: "the input cannot be used; one message says why",
    ExitStatus.BUG: "a bug of robustpeft's; the traceback stands above",
    ExitStatus.INTERRUPTED: "interrupted with Ctrl-C; what was complete is kept",
    ExitStatus.NOBODY_READS: "whoever read the output went away, as head does",
}
"""In words; numbers above 128 are a signal's plus 128, as shells have it, and 70 is EX_SOFTWARE of sysexits.h."""
