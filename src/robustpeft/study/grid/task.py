"""What does an executor need to know of what it hands out? Its identity, its words, and what it is."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Task"]


class Task(Protocol):
    """One experiment of a study, or one question that a stage asks about several."""

    @property
    def identity(self) -> str:
        """The hash of everything that the result depends on."""
        ...

    @property
    def title(self) -> str:
        """For people."""
        ...

    def plain(self) -> dict[str, Any]:
        """Return everything that the result depends on, as JSON has it."""
        ...
