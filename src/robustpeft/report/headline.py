"""What may be said of a record in one sentence? A number, an upper bound, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from robustpeft.records import AuditRecord, Check, attacked_by_queries_alone
from robustpeft.report.wording import rate_text, threat_text
from robustpeft.report.worst_case import main_threats, worst_case

__all__ = ["Headline", "Kind", "headline", "publishable"]

Kind = Literal["measured", "upper_bound", "refused", "unchecked", "clean"]

_SHOWN = 3


@dataclass(frozen=True)
class Headline:
    """The first sentence about a model.

    Args:
        kind: ``measured``: no check failed, or nothing withstood. ``upper_bound``: a check of the model or of the
            attacks' strength failed; what was broken is broken, but more may be; or it was attacked by queries alone.
            ``refused``: a check of integrity failed; there is no number. ``unchecked``: no checks were made.
            ``clean``: no attack was tried.
        sentence: The sentence.
    """

    kind: Kind
    sentence: str


def headline(record: AuditRecord) -> Headline:
    """Return the headline of a record: its worst case at its largest radius, as far as its checks allow."""
    label = record.subject.label
    broken_rules = _failed(record.checks, "integrity")
    if broken_rules:
        reasons = " ".join(f"It does not hold that {_lowered(c.title)}: {_ended(c.evidence)}" for c in broken_rules)
        return Headline("refused", f"{label}: no number is given. {reasons}")
    threats = main_threats([record])
    case = worst_case(record, threats[0]) if threats else None
    if case is None:
        return Headline("clean", f"{label}: accuracy {rate_text(record['clean'].correct)}; no attack was tried.")
    where = threat_text(threats[0].norm, threats[0].epsilon)
    number = rate_text(case.correct)
    weak = [*_failed(record.checks, "model"), *_failed(record.checks, "strength")]
    if weak and not case.correct.count:
        left = "nothing is left that a stronger attack could break"
        return Headline("measured", f"{label}: robust accuracy at {where} is {number}; {left}. {_weaknesses(weak)}")
    if weak:
        return Headline(
            "upper_bound",
            f"{label}: robust accuracy at {where} is at most {number}, and probably lower. {_weaknesses(weak)}",
        )
    blind = attacked_by_queries_alone(record)
    bound = "at most " if blind else ""
    why = ", for it was attacked by queries alone" if blind else ""
    sentence = f"{label}: robust accuracy at {where} is {bound}{number}{why}"
    if not record.checks:
        return Headline("unchecked", f"{sentence}; nothing was done to doubt this number.")
    warned, made = _count(record.checks, ("warn",)), _count(record.checks, ("pass", "warn"))
    doubts = f", {warned} in doubt" if warned else ""
    kind: Kind = "upper_bound" if blind else "measured"
    return Headline(kind, f"{sentence}; {made} checks were made, none failed{doubts}.")


def publishable(records: Iterable[AuditRecord]) -> tuple[AuditRecord, ...]:
    """Return the records whose numbers may be shown: those of which no check of integrity failed."""
    return tuple(record for record in records if headline(record).kind != "refused")


def _weaknesses(weak: Sequence[Check]) -> str:
    reasons = " ".join(f"It does not hold that {_lowered(c.title)}: {_ended(c.evidence)}" for c in weak[:_SHOWN])
    more = len(weak) - _SHOWN
    return f"{reasons} {more} more check{'s' if more > 1 else ''} failed." if more > 0 else reasons


def _failed(checks: Sequence[Check], group: str) -> list[Check]:
    return [check for check in checks if check.group == group and check.verdict == "fail"]


def _count(checks: Sequence[Check], verdicts: Sequence[str]) -> int:
    return sum(check.verdict in verdicts for check in checks)


def _lowered(title: str) -> str:
    return title[:1].lower() + title[1:] if title[1:2].islower() else title


def _ended(evidence: str) -> str:
    return evidence if evidence.endswith((".", "!", "?")) else f"{evidence}."
