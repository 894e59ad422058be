"""How does a person see that something goes on? Bars in a terminal, lines everywhere else, from one process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from robustpeft.cli.loudness import Loudness, loudness
from robustpeft.cli.spokesman import is_spokesman

if TYPE_CHECKING:
    from robustpeft.auditing import Progress as AuditProgress
    from robustpeft.study.demo import Reporter
    from robustpeft.training import Progress

__all__ = ["reporting"]


@contextmanager
def reporting() -> Iterator[Reporter]:
    """Within the context the reporter shows what it is told: phases, one after the other, and progress in each."""
    if not is_spokesman() or loudness() is Loudness.QUIET:
        yield _Silent()
    elif sys.stdout.isatty():
        from robustpeft.cli.progress_bars import BarReporter

        with BarReporter() as bars:
            yield bars
    else:
        from robustpeft.cli.progress_lines import LineReporter

        with LineReporter() as lines:
            yield lines


class _Silent:
    """What the other processes tell, and a quiet one."""

    def phase(self, title: str) -> None:
        """Say nothing."""

    def tuning(self, progress: Progress) -> None:
        """Say nothing."""

    def auditing(self, progress: AuditProgress) -> None:
        """Say nothing."""
