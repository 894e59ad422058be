"""Why may it be believed? What was asked of each audit, what came of it, and what is to be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.records import AuditRecord, Check
from robustpeft.records.check import GROUPS, VERDICTS, Group, Verdict

__all__ = ["Answer", "Section", "Trust", "trust"]

_WORDS: dict[Verdict, str] = {"pass": "holds", "warn": "in doubt", "fail": "fails", "not_applicable": "not asked"}
_HEADINGS: dict[Group, str] = {
    "integrity": "Is it what it is said to be?",
    "model": "Does the model hide from attacks?",
    "strength": "Did the attacks go far enough?",
    "statistics": "How sure is the number?",
}
_WORST_FIRST: tuple[Verdict, ...] = ("fail", "warn", "pass", "not_applicable")


@dataclass(frozen=True)
class Answer:
    """One check as it is shown.

    Args:
        verdict: For the eye, for example ``fails``.
        style: The verdict's name in the record.
        title: What should hold.
        evidence: What was seen.
        remedy: What to do; may be empty.
    """

    verdict: str
    style: str
    title: str
    evidence: str
    remedy: str


@dataclass(frozen=True)
class Section:
    """The checks of one group, worst first."""

    heading: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Trust:
    """The checks of one record.

    Args:
        label: The subject.
        summary: How many hold, are in doubt, fail and were not asked, in words.
        sections: By group, the gravest group first.
    """

    label: str
    summary: str
    sections: tuple[Section, ...]


def trust(record: AuditRecord) -> Trust:
    """Return what was asked of the audit of this record; without sections if nothing was."""
    if not record.checks:
        return Trust(record.subject.label, "No checks were made.", ())
    sections = [Section(_HEADINGS[group], _answers(record.checks, group)) for group in GROUPS]
    counts = {verdict: sum(check.verdict == verdict for check in record.checks) for verdict in VERDICTS}
    said = [f"{count} {_counted(verdict, count)}" for verdict, count in counts.items() if count]
    summary = f"Of {len(record.checks)} checks {', '.join(said)}."
    return Trust(record.subject.label, summary, tuple(section for section in sections if section.answers))


def _answers(checks: Sequence[Check], group: Group) -> tuple[Answer, ...]:
    mine = sorted((check for check in checks if check.group == group), key=lambda c: _WORST_FIRST.index(c.verdict))
    return tuple(Answer(_WORDS[c.verdict], c.verdict, c.title, c.evidence, c.remedy) for c in mine)


def _counted(verdict: Verdict, count: int) -> str:
    one = count == 1
    return {
        "pass": "holds" if one else "hold",
        "warn": "is in doubt" if one else "are in doubt",
        "fail": "fails" if one else "fail",
        "not_applicable": "was not asked" if one else "were not asked",
    }[verdict]
