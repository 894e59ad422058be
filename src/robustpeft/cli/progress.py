"""How does a person see that something goes on? As bars in a terminal, as lines everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robustpeft.study.demo import Reporter

__all__ = ["reporting"]


@contextmanager
def reporting() -> Iterator[Reporter]:
    """Within the context the reporter shows what it is told: phases, one after the other, and progress in each."""
    if sys.stdout.isatty():
        from robustpeft.cli.progress_bars import BarReporter

        with BarReporter() as bars:
            yield bars
    else:
        from robustpeft.cli.progress_lines import LineReporter

        with LineReporter() as lines:
            yield lines
