"""How were the smallest perturbations looked for, and at what cost?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["MinimalSearch"]


@dataclass(frozen=True)
class MinimalSearch:
    """A search for the smallest perturbation of every image; what it found stands in the rows.

    Args:
        norm: In which perturbations are measured.
        name: Table name of the search; what the audit's attacks found counts beside it.
        settings: Its fields.
        forwards: Forward passes spent, in images.
        backwards: Backward passes spent, in images.
        seconds: Wall time.
    """

    norm: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    forwards: int = 0
    backwards: int = 0
    seconds: float = 0.0
