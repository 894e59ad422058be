"""What does a person see while a study runs? A table of its arms, which moves where there is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from robustpeft.cli.loudness import Loudness, loudness
from robustpeft.cli.progress_text import bytes_text, time_text

if TYPE_CHECKING:
    from rich.table import Table

    from robustpeft.study.grid import ArmEstimate, ArmStatus, Event, Store, Study

__all__ = ["estimate_table", "status_table", "watching"]

_REFRESHES = 0.5  # a second; each reads the store
_STATES = ("waiting", "running", "done", "failed")


def status_table(arms: Sequence[ArmStatus]) -> Table:
    """Return one row per arm: trials and runs in every state, reasons of failures, disk."""
    table = _table("study", "grid", "arm", "trials", "runs", "disk", "failed because")
    for arm in arms:
        table.add_row(
            arm.grid,
            arm.label,
            _counts(arm.trials),
            _counts(arm.runs),
            bytes_text(arm.disk_bytes),
            "; ".join(arm.reasons),
        )
    total = sum(arm.disk_bytes for arm in arms)
    done = sum(arm.trials["done"] + arm.runs["done"] for arm in arms)
    every = sum(arm.trials.total() + arm.runs.total() for arm in arms)
    table.caption = f"{done} of {every} experiments done, {bytes_text(total)}; what several arms share counts for each"
    return table


def estimate_table(arms: Sequence[ArmEstimate]) -> Table:
    """Return one row per arm: how many experiments, trained parameters, time, disk."""
    table = _table("estimate", "grid", "arm", "experiments", "trained", "one tuning", "one audit", "disk")
    table.caption = "an audit takes so long if no image breaks; on an undefended model nearly all break at once"
    for arm in arms:
        table.add_row(
            arm.grid,
            arm.label,
            f"{arm.trials} + {arm.runs}",
            f"{arm.trained:,}",
            time_text(arm.tune_seconds),
            time_text(arm.audit_seconds),
            bytes_text(arm.disk_bytes),
        )
    return table


@contextmanager
def watching(study: Study, store: Store) -> Iterator[Callable[[Event], None]]:
    """Within the context what happens is shown: in a table that moves, or line by line where there is no terminal."""
    from rich.console import Console
    from rich.live import Live

    from robustpeft.study.grid import arms_of, status

    console = Console(stderr=True)
    if loudness() is Loudness.QUIET:
        yield lambda event: None
        return
    if not console.is_terminal:
        yield _Lines(status(study, store), len(study.transfers) + len(study.distances))
        return
    arms = arms_of(study)
    with Live(
        get_renderable=lambda: status_table(status(study, store, arms)), console=console, refresh_per_second=_REFRESHES
    ):
        yield lambda event: None


class _Lines:
    """One line for every experiment that ended."""

    def __init__(self, arms: Sequence[ArmStatus], stages: int = 0) -> None:
        self._total = stages + sum(arm.trials.total() + arm.runs.total() for arm in arms)
        self._ended = sum(arm.trials["done"] + arm.runs["done"] for arm in arms)

    def __call__(self, event: Event) -> None:
        if event.kind in ("started", "busy"):
            return
        self._ended += 1
        why = f": {event.reason}" if event.reason else ""
        print(f"{self._ended} of {self._total} {event.kind}: {event.title}{why}", file=sys.stderr, flush=True)


def _counts(states: dict[str, int]) -> str:
    return ", ".join(f"{states[state]} {state}" for state in _STATES if states.get(state))


def _table(title: str, *heads: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for head in heads:
        table.add_column(head, overflow="fold")
    return table
