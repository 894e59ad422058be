"""What does it take to break the model? A ladder of attackers, from an accident to full knowledge, from one record.

A rung counts the images that are recognised when left alone and still recognised against this attacker. Those that
were not measured are there too, and say how they can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robustpeft.records.audit_record import AuditRecord, Measurement, least_of
from robustpeft.records.queries_alone import attacked_by_queries_alone
from robustpeft.records.query_curve import QueryCurve, query_curves
from robustpeft.records.rate import Rate

__all__ = ["BUDGETS", "Rung", "attacker_ladder"]

BUDGETS = (100, 1000, 5000)
"""Questions an image of the rungs without gradients."""

_CONTRIVED = ("patch_shuffle",)  # no accident cuts a picture up and lays its parts elsewhere


@dataclass(frozen=True)
class Rung:
    """One attacker.

    Args:
        key: ``accident``, ``transfer``, ``queries_100``, ``queries_1000``, ``queries_5000`` or ``full_knowledge``.
        title: Who it is, in a few words.
        words: What they would say of it, in one sentence.
        correct: Images still recognised, of all images; None if it was not measured.
        turned: Images turned, of those recognised when left alone; None likewise, or without rows in the record.
        what: Keys of the measurements behind it.
        threat: ``{"norm": ..., "epsilon": ...}`` within which the attacker works; None for accidents.
        questions: Put to this model, over all images; of the attacker with full knowledge, forward passes.
        backwards: Backward passes through this model, over all images.
        seconds: Wall time. Where a rung is a part of one run, its share by questions.
        missing: Why there is no number, and what would give one; empty where there is.
    """

    key: str
    title: str
    words: str
    correct: Rate | None = None
    turned: Rate | None = None
    what: tuple[str, ...] = ()
    threat: dict[str, Any] | None = None
    questions: int = 0
    backwards: int = 0
    seconds: float = 0.0
    missing: str = ""


def attacker_ladder(record: AuditRecord) -> tuple[Rung, ...]:
    """Return the six rungs, the weakest attacker first.

    Attackers work within the largest radius of the audit's first norm. An accident knows no radius, so it alone may
    turn more images than those above it.
    """
    threat = _main_threat(record)
    curve = next((c for c in query_curves(record) if c.name == "square" and _is(record[c.key], threat)), None)
    return (
        _accident(record),
        _transfer(record, threat),
        *(_queries(record, curve, budget, threat) for budget in BUDGETS),
        _full_knowledge(record, threat),
    )


def _accident(record: AuditRecord) -> Rung:
    title = "An accident"
    found = [m for m in record.of("perturbation") if m.name not in _CONTRIVED]
    if not found:
        words = "I do nothing; noise, blur or dirt may do it for me."
        why = _absent("no noise, blur or drop was tried", "--corruptions 1,3,5")
        return Rung("accident", title, words, missing=why)
    kept = {m.key: _kept(record, [m]) for m in found}
    worst = min(found, key=lambda m: kept[m.key][0].count)
    correct, turned = kept[worst.key]
    kind = worst.settings.get("kind") if worst.name == "corruption" else None
    named = str(kind or worst.name.rsplit(":", 1)[-1]).replace("_", " ")
    strength = "" if worst.strength is None else f", strength {worst.strength:g},"
    words = f"I did nothing: {named}{strength} was the worst of {len(found)} things that happened by chance."
    return Rung(
        "accident", title, words, correct, turned, (worst.key,), questions=worst.forwards, seconds=worst.seconds
    )


def _transfer(record: AuditRecord, threat: dict[str, Any] | None) -> Rung:
    title = "The public network"
    words = "I downloaded the network you began with, fooled that, and showed you the images once."
    found = next((m for m in record.of("attack", "transfer") if _is(m, threat)), None)
    if found is not None:
        correct, turned = _kept(record, [found])
        asked = turned.n if turned is not None else correct.n
        return Rung("transfer", title, words, correct, turned, (found.key,), threat, asked, 0, found.seconds)
    if record.subject.method is None:
        why = "this model has no adapter, so its own public network is not known"
        return Rung("transfer", title, words, missing=_absent(why, "robustpeft compare RUN RUN, for other sources"))
    return Rung("transfer", title, words, missing=_absent("not measured", "any profile, with attacks"))


def _queries(record: AuditRecord, curve: QueryCurve | None, budget: int, threat: dict[str, Any] | None) -> Rung:
    title, key = f"{budget:,} questions", f"queries_{budget}"
    words = f"I see your scores and nothing else, and ask at most {budget:,} times about an image."
    correct = curve.after(budget) if curve is not None else None
    if curve is None or correct is None:
        why = "not measured" if curve is None else f"the search gave up after {curve.budget:,} questions"
        return Rung(key, title, words, missing=_absent(why, "--profile standard"))
    asked = {b: _asked(record, curve, b) for b in (budget, curve.budget)}
    share = asked[budget] / asked[curve.budget] if asked[curve.budget] else 0.0
    clean = curve.points[0][1].count
    return Rung(
        key,
        title,
        words,
        correct,
        Rate(clean - correct.count, clean),
        (curve.key,),
        threat,
        asked[budget],
        0,
        share * record[curve.key].seconds,
    )


def _full_knowledge(record: AuditRecord, threat: dict[str, Any] | None) -> Rung:
    title = "Full knowledge"
    words = "I have your weights, and of everything that was tried I take for each image what worked."
    found = [m for m in record.of("attack") if _within(m, threat)]
    if not found:
        return Rung("full_knowledge", title, words, missing=_absent("no attack was tried", "any profile, with attacks"))
    if attacked_by_queries_alone(record):
        why = _absent("nothing but queries was tried", "attacks along gradients, on the network itself")
        return Rung("full_knowledge", title, words, threat=threat, missing=why)
    correct, turned = _kept(record, found)
    return Rung(
        "full_knowledge",
        title,
        words,
        correct,
        turned,
        tuple(m.key for m in found),
        threat,
        sum(m.forwards for m in found),
        sum(m.backwards for m in found),
        sum(m.seconds for m in found),
    )


def _asked(record: AuditRecord, curve: QueryCurve, budget: int) -> int:
    """Return how many questions were put when nobody had put more than the budget about one image."""
    clean = [row for row in record.rows if curve.key in row.predictions and row.stands("clean")]
    return sum(min(row.queries.get(curve.key, curve.budget), budget) for row in clean)


def _kept(record: AuditRecord, found: Sequence[Measurement]) -> tuple[Rate, Rate | None]:
    """Return the images right as they are and under all of these, and those turned of the ones that were right.

    Without rows, the smallest count: that of the strongest alone, which may only be too kind to the model.
    """
    if not record.rows:
        return least_of(found), None
    clean = [row for row in record.rows if row.stands("clean")]
    kept = sum(row.stands(*(m.key for m in found)) for row in clean)
    return Rate(kept, len(record.rows)), Rate(len(clean) - kept, len(clean))


def _main_threat(record: AuditRecord) -> dict[str, Any] | None:
    """Return the first norm with its largest radius."""
    balls = [ball for m in record.measurements if m.kind == "attack" and (ball := _ball(m)) is not None]
    if not balls:
        return None
    norm = balls[0][0]
    return {"norm": norm, "epsilon": max(epsilon for other, epsilon in balls if other == norm)}


def _is(measurement: Measurement, threat: dict[str, Any] | None) -> bool:
    return threat is not None and _ball(measurement) == (threat["norm"], threat["epsilon"])


def _within(measurement: Measurement, threat: dict[str, Any] | None) -> bool:
    ball = _ball(measurement)
    return ball is not None and threat is not None and ball[0] == threat["norm"] and ball[1] <= threat["epsilon"]


def _ball(measurement: Measurement) -> tuple[str, float] | None:
    threat = measurement.threat or {}
    return (str(threat["norm"]), float(threat["epsilon"])) if {"norm", "epsilon"} <= threat.keys() else None


def _absent(why: str, how: str) -> str:
    return f"{why}; to measure it: {how}"
