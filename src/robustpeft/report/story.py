"""What happened, in plain sentences? Counts of the records put into words: the attacker's side, and image by image."""

from __future__ import annotations

from collections.abc import Sequence

from robustpeft.records import AuditRecord, Measurement, Rate, attacked_by_queries_alone
from robustpeft.report.wording import condition_name, count_text, effort_text, number_text, percent_text, rate_text
from robustpeft.report.worst_case import MainThreat, WorstCase, main_threats, withstood, worst_case

__all__ = ["attack_story", "default_title", "listing", "paired_sentences"]


def default_title(records: Sequence[AuditRecord]) -> str:
    """Return for example ``How robust are LoRA and FullLoRA on digits?``."""
    labels = [record.subject.label for record in records]
    data = records[0].data.name
    if len(labels) == 1:
        return f"How robust is {labels[0]} on {data}?"
    return f"How robust are {listing(labels) if len(labels) <= 3 else f'{len(labels)} models'} on {data}?"


def listing(words: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def attack_story(records: Sequence[AuditRecord]) -> str:
    """Return one paragraph: who attacks, how far and how often they may try, and how often they win."""
    threats = main_threats(records)
    if not threats:
        return "No attack was measured at a radius common to all models, so nothing can be said here about an attacker."
    threat = threats[0]
    cases = [case for record in records if (case := worst_case(record, threat)) is not None]
    outcomes = (_outcome(record, case) for record, case in zip(records, cases, strict=True))
    return " ".join([_attacker(threat, records), *_tries(records, cases), *outcomes])


def paired_sentences(records: Sequence[AuditRecord]) -> tuple[str, ...]:
    """Return, for the subject with the best worst case, how it differs from every other on the very same images.

    Empty where there is nothing to compare or the records hold no rows.
    """
    threats = main_threats(records)
    if len(records) < 2 or not threats or not all(record.rows for record in records):
        return ()
    kept = [withstood(record, threats[0]) for record in records]
    best = max(range(len(records)), key=lambda i: len(kept[i]))
    return tuple(_pair(records[best], records[i], kept[best], kept[i]) for i in range(len(records)) if i != best)


def _attacker(threat: MainThreat, records: Sequence[AuditRecord]) -> str:
    radius = number_text(threat.epsilon)
    freedom = {
        "linf": f"change every pixel by up to {radius}, where black is 0 and white is 1",
        "l2": f"move every image by up to {radius} in Euclidean distance, where black is 0 and white is 1",
    }.get(threat.norm, f"move every image by up to {radius} in the {threat.norm} norm")
    asked = [record.subject.label for record in records if attacked_by_queries_alone(record)]
    if len(asked) == len(records):
        return f"The attacker sees answers and nothing else, and may {freedom}."
    but = f"; of {listing(asked)} they see answers and nothing else" if asked else ""
    return f"The attacker knows the model, its adapter and every weight, and may {freedom}{but}."


def _tries(records: Sequence[AuditRecord], cases: Sequence[WorstCase]) -> list[str]:
    """Return one sentence, or where not the same was tried on all, one for those on which it was."""
    alike: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for place, case in enumerate(cases):
        alike.setdefault(tuple((m.key, m.correct.n) for m in case.attacks), []).append(place)
    n = records[0].data.n
    if len(alike) == 1:
        return [f"On every image they try {_effort(cases, n)}."]
    return [
        f"Against {listing([records[place].subject.label for place in places])} they try on every image "
        f"{_effort([cases[place] for place in places], n)}."
        for places in alike.values()
    ]


def _effort(cases: Sequence[WorstCase], n: int) -> str:
    largest = max(m.strength or 0.0 for case in cases for m in case.attacks)
    radii: dict[tuple[int, str], set[float]] = {}
    for measurement in (m for case in cases for m in case.attacks):
        who = measurement.correct.n, _named(measurement)
        radii.setdefault(who, set()).add(measurement.strength or 0.0)
    alike: dict[tuple[int, frozenset[float]], list[str]] = {}
    for (asked, name), tried in radii.items():
        alike.setdefault((asked, frozenset(tried)), []).append(name)
    several = any(len(tried) > 1 for _, tried in alike)
    parts = [
        ("" if asked == n else f"on {asked:,} of them ") + listing(names) + (_where(tried, largest) if several else "")
        for (asked, tried), names in alike.items()
    ]
    attacks = ", and ".join(parts)
    gradients = max(sum(m.backwards / m.correct.n for m in case.attacks if m.correct.n) for case in cases)
    cost = f", {gradients:,.0f} gradient computations an image in all" if gradients else ""
    return f"{attacks}{cost}"


def _where(tried: frozenset[float], largest: float) -> str:
    if tried == {largest}:
        return " at this one alone"
    end = "up to this one" if largest in tried else f"up to {number_text(max(tried))}"
    return f" at {len(tried)} radii {end}" if len(tried) > 1 else f" at {number_text(max(tried))}"


def _named(measurement: Measurement) -> str:
    effort = effort_text(measurement)
    return f"{condition_name(measurement.name)} ({effort})" if effort else condition_name(measurement.name)


def _outcome(record: AuditRecord, case: WorstCase) -> str:
    label = record.subject.label
    if case.wins is None:
        clean = record["clean"].correct
        return f"{label} is right on {count_text(clean)} images left alone, on {rate_text(case.correct)} under attack."
    return (
        f"Against {label} they win on {count_text(case.wins)} images that it recognises when left alone "
        f"({_share(case.wins)}), so that {count_text(case.correct)} stay right."
    )


def _share(rate: Rate) -> str:
    return f"{percent_text(rate.fraction)} %" if rate.n else "none to turn"


def _pair(better: AuditRecord, other: AuditRecord, better_kept: frozenset[int], other_kept: frozenset[int]) -> str:
    one, two = better.subject.label, other.subject.label
    right, other_right = (
        {row.id for row in record.rows if row.predictions["clean"] == row.label} for record in (better, other)
    )
    return (
        f"{one} withstands every attack on {len(better_kept - other_kept):,} images that {two} loses, and loses "
        f"{len(other_kept - better_kept):,} that {two} withstands. Left alone, {one} misses "
        f"{len(other_right - right):,} that {two} recognises, and recognises {len(right - other_right):,} that {two} "
        "misses."
    )
