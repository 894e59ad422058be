"""What was asked of an audit before its number is believed, and what came of it? One answer per question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["GROUPS", "VERDICTS", "Check", "Group", "Verdict"]

Verdict = Literal["pass", "warn", "fail", "not_applicable"]
Group = Literal["integrity", "model", "strength", "statistics"]

VERDICTS: tuple[Verdict, ...] = ("pass", "warn", "fail", "not_applicable")
GROUPS: tuple[Group, ...] = ("integrity", "model", "strength", "statistics")


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Args:
        key: Name of the question, for example ``input_range``.
        title: The question as a statement that should hold.
        verdict: ``pass``, ``warn``, ``fail`` or ``not_applicable``.
        evidence: What was seen, with its numbers.
        remedy: What to do about it; empty where nothing is to be done.
        group: What a failure means. ``integrity``: the number must not be published. ``model`` and ``strength``: the
            number is an upper bound, because the model hides from attacks or the attacks were weak. ``statistics``:
            the number is what it is, but less sure than it looks.

    Raises:
        ValueError: For an unknown verdict or group.
    """

    key: str
    title: str
    verdict: Verdict
    evidence: str
    remedy: str = ""
    group: Group = "strength"

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS or self.group not in GROUPS:
            raise ValueError(f"a check has no verdict {self.verdict!r} or no group {self.group!r}")
