"""How is progress shown in a terminal? One bar per phase, and below them one line of numbers."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress as Bars, TaskID, TaskProgressColumn, TextColumn
from rich.spinner import Spinner
from rich.text import Text

from robustpeft.cli.progress_text import audit_text, time_text, tuning_text

if TYPE_CHECKING:
    from robustpeft.auditing import Progress as AuditProgress
    from robustpeft.training import Progress

__all__ = ["BarReporter"]

_LOADING = Spinner("dots", Text("loading", style="dim"))


class BarReporter:
    """Draws the bars again a few times a second; what is printed meanwhile appears above them.

    Args:
        console: Where to draw; stdout by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._bars = Bars(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[left]}")
        )
        self._titles: dict[str, TaskID] = {}
        self._present: TaskID | None = None
        self._numbers: RenderableType | None = _LOADING
        self._live = Live(console=self._console, get_renderable=self._drawing, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self._numbers = None
        self._live.stop()

    def phase(self, title: str) -> None:
        """Begin a phase; the title of one that was begun goes on with it."""
        if title not in self._titles:
            self._titles[title] = self._bars.add_task(escape(title), total=1.0, left="")
            self._numbers = _LOADING
        self._present = self._titles[title]

    def tuning(self, progress: Progress) -> None:
        """Draw where tuning stands."""
        self._draw(progress.step / progress.steps, progress.seconds_left, tuning_text(progress))

    def auditing(self, progress: AuditProgress) -> None:
        """Draw where an audit stands; measurements count alike, though attacks take longer."""
        done = (progress.measurement - 1 + progress.images_done / progress.images) / progress.measurements
        self._draw(done, progress.seconds_left, audit_text(progress))

    def _draw(self, done: float, seconds_left: float | None, numbers: str) -> None:
        if self._present is None:
            self.phase("working")
        assert self._present is not None
        left = "" if done >= 1 else f"{time_text(seconds_left)} left"
        self._bars.update(self._present, completed=done, left=left)
        self._numbers = Text(numbers, style="dim")

    def _drawing(self) -> RenderableType:
        """Return the bars, and below them the numbers while there are any."""
        parts: list[RenderableType] = [self._bars] if self._titles else []
        return Group(*parts, *([] if self._numbers is None else [self._numbers]))
