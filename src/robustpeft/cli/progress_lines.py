"""How is progress shown where there is no terminal? One line per epoch, one per measurement of an audit."""

from __future__ import annotations

import dataclasses
from types import TracebackType
from typing import TYPE_CHECKING, Self

from robustpeft.cli.progress_text import audit_text, time_text, tuning_text

if TYPE_CHECKING:
    from robustpeft.auditing import Progress as AuditProgress
    from robustpeft.training import Progress

__all__ = ["LineReporter"]


class LineReporter:
    """Prints a line when an epoch or a measurement is over.

    An epoch's accuracies are only known after its last step, so its line waits for what comes next.
    """

    def __init__(self) -> None:
        self._phase = ""
        self._waiting: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._print_waiting()

    def phase(self, title: str) -> None:
        """Begin a phase; the title of the present one changes nothing."""
        if title != self._phase:
            self._print_waiting()
            self._phase = title
            print(title, flush=True)

    def tuning(self, progress: Progress) -> None:
        """Print the epoch before, once there is news of the next."""
        before = self._waiting
        if before is not None and (before.phase, before.epoch) != (progress.phase, progress.epoch):
            if progress.clean_accuracy is not None:  # None at the beginning of another run
                self._waiting = dataclasses.replace(
                    before, clean_accuracy=progress.clean_accuracy, robust_accuracy=progress.robust_accuracy
                )
            self._print_waiting()
        self._waiting = progress

    def auditing(self, progress: AuditProgress) -> None:
        """Print a measurement that is complete."""
        if progress.images_done >= progress.images:
            _print(audit_text(progress), progress.seconds_left)

    def _print_waiting(self) -> None:
        if self._waiting is not None:
            _print(tuning_text(self._waiting), self._waiting.seconds_left)
            self._waiting = None


def _print(text: str, seconds_left: float | None) -> None:
    print(f"  {text}, {time_text(seconds_left)} left", flush=True)
