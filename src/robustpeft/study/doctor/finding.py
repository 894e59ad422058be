"""What does a doctor's finding say?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "bad", "good", "warn"]

Verdict = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        topic: What: ``torch``, ``threads``, ...
        verdict: ``ok``; ``warning`` (it works, slower or with less); ``broken`` (something would fail).
        text: What was found, with its numbers.
        remedy: What to do; empty if nothing.
    """

    topic: str
    verdict: Verdict
    text: str
    remedy: str = ""


def good(topic: str, text: str) -> Finding:
    """Return that all is well."""
    return Finding(topic, "ok", text)


def warn(topic: str, text: str, remedy: str) -> Finding:
    """Return that it works, but not as it could."""
    return Finding(topic, "warning", text, remedy)


def bad(topic: str, text: str, remedy: str) -> Finding:
    """Return that something would fail."""
    return Finding(topic, "broken", text, remedy)
