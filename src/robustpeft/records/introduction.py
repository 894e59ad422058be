"""How was somebody else's model asked? What was given, what it says itself, what was found by trying, and on what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Finding", "Introduction", "Source", "introduction_from"]

Source = Literal["given", "stated", "probed", "assumed"]


@dataclass(frozen=True)
class Finding:
    """One thing that has to be known before a model's answers mean anything.

    Args:
        key: ``normalization``, ``classes``, ``class_order``, ``checkpoint``.
        value: What was settled on, for example ``half``.
        source: ``given`` by a person, ``stated`` by the model's files, ``probed`` on images, or ``assumed``.
        evidence: What was seen, with its numbers.
        option: What to type to say the same explicitly; empty where no option does.
        tried: Images right with each candidate, by name; empty if none was tried.
        n: Images on which they were tried.
        doubtful: Another candidate is nearly as good.
    """

    key: str
    value: str
    source: Source
    evidence: str
    option: str = ""
    tried: dict[str, int] = field(default_factory=dict)
    n: int = 0
    doubtful: bool = False


@dataclass(frozen=True)
class Introduction:
    """What was named, and what was found out about it.

    Args:
        target: The words that named the model.
        kind: Which kind of target it is, for example ``onnx``.
        findings: One per thing that had to be known; empty for a run of robustpeft's own, which says it all.
        command: What gives the same audit without any probe; empty if it was not typed.
    """

    target: str
    kind: str
    findings: tuple[Finding, ...] = ()
    command: str = ""


def introduction_from(plain: dict[str, Any] | None) -> Introduction | None:
    """Return the value of plain data that was read from a file.

    Raises:
        KeyError: If a field is missing.
        TypeError: If one is unknown.
    """
    if plain is None:
        return None
    return Introduction(**{**plain, "findings": tuple(Finding(**finding) for finding in plain["findings"])})
