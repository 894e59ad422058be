"""By how much do audited models differ on the very same images? Pair by pair, corrected for the number of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from robustpeft.errors import UserError
from robustpeft.records import AuditRecord, Paired, holm
from robustpeft.report.comparable import comparable
from robustpeft.report.headline import headline, publishable
from robustpeft.report.story import paired_sentences
from robustpeft.report.tables import Table, headline_table
from robustpeft.report.wording import percent_text, threat_text
from robustpeft.report.worst_case import main_threats, withstood

__all__ = ["Comparison", "Pair", "compare_records"]


@dataclass(frozen=True)
class Pair:
    """Two models under one condition.

    Args:
        one: Label of the first.
        other: Label of the second.
        condition: Without an attack, or the worst case within a threat.
        counts: On how many images one of them alone is right, in both directions.
        p_value: Of McNemar's exact test, corrected by Holm for all pairs and conditions.
    """

    one: str
    other: str
    condition: str
    counts: Paired
    p_value: float

    @property
    def difference(self) -> str:
        """First minus second in percentage points, for example ``+12.3``."""
        return _points(self.counts.difference)

    @property
    def interval(self) -> str:
        """Its 95 % interval."""
        low, high = self.counts.interval()
        return f"{_points(low)} to {_points(high)}"


@dataclass(frozen=True)
class Comparison:
    """What is shown of several records.

    Args:
        table: Accuracies, one row a model.
        pairs: Empty where the records hold no rows.
        sentences: The same in words.
        withheld: Sentences about records whose numbers must not be shown.
    """

    table: Table
    pairs: tuple[Pair, ...]
    sentences: tuple[str, ...]
    withheld: tuple[str, ...]


def compare_records(records: Sequence[AuditRecord]) -> Comparison:
    """Return the comparison of at least two records.

    Raises:
        UserError: If there are fewer, if they were not measured alike, or fewer than two may show their numbers.
    """
    if len(records) < 2:
        raise UserError("choose at least two records to compare")
    alike = comparable(records)
    shown = publishable(alike)
    withheld = tuple(headline(record).sentence for record in alike if record not in shown)
    if len(shown) < 2:
        raise UserError("fewer than two of these records may show a number. " + " ".join(withheld))
    return Comparison(headline_table(shown), _pairs(shown), paired_sentences(shown), withheld)


def _pairs(records: Sequence[AuditRecord]) -> tuple[Pair, ...]:
    if not all(record.rows for record in records):
        return ()
    right = [{"left alone": _right(record)} for record in records]
    for threat in main_threats(records):
        for of, record in zip(right, records, strict=True):
            of[f"worst case, {threat_text(threat.norm, threat.epsilon)}"] = withstood(record, threat)
    found = [
        (one, other, condition)
        for condition in right[0]
        for one, other in combinations(range(len(records)), 2)
    ]  # fmt: skip
    ids = [row.id for row in records[0].rows]
    counts = [Paired.of((i in right[a][c], i in right[b][c]) for i in ids) for a, b, c in found]
    corrected = holm([paired.p_value for paired in counts])
    labels = [record.subject.label for record in records]
    return tuple(
        Pair(labels[a], labels[b], condition, paired, p)
        for (a, b, condition), paired, p in zip(found, counts, corrected, strict=True)
    )


def _right(record: AuditRecord) -> frozenset[int]:
    return frozenset(row.id for row in record.rows if row.predictions["clean"] == row.label)


def _points(share: float) -> str:
    text = percent_text(abs(share)).replace("> ", "").replace("< ", "")
    return f"{'-' if share < 0 else '+'}{text}" if share else "0.0"
