"""At which radius are records compared, and how many images did no attack fool?

The worst case is taken image by image: an image counts as correct if it was classified correctly without an attack
and under every attack of the audit whose ball lies inside the threat (same norm, epsilon at most as large).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.records import AuditRecord, Measurement, Rate, least_of
from robustpeft.report.wording import condition_name, effort_text

__all__ = [
    "MainThreat",
    "WorstCase",
    "attack_names",
    "attacks_at",
    "main_threats",
    "only_beyond",
    "withstood",
    "withstood_by_class",
    "worst_case",
]


@dataclass(frozen=True, order=True)
class MainThreat:
    """The radius of the headline.

    Args:
        norm: ``linf`` or ``l2``.
        epsilon: Radius in pixel units on [0, 1].
    """

    norm: str
    epsilon: float


@dataclass(frozen=True)
class WorstCase:
    """What remains of a model under all attacks together.

    Args:
        correct: Images that stayed correct, of all images.
        wins: Images that an attack turned, of those that were correct before; None if the record has no rows.
        attacks: The measurements that were taken together.
    """

    correct: Rate
    wins: Rate | None
    attacks: tuple[Measurement, ...]


def main_threats(records: Sequence[AuditRecord]) -> tuple[MainThreat, ...]:
    """Return, for each norm, the largest epsilon at which every record was attacked; in order of the first record."""
    common = set.intersection(*(set(_threats(record)) for record in records))
    norms = dict.fromkeys(threat.norm for threat in _threats(records[0]) if threat in common)
    return tuple(max(threat for threat in common if threat.norm == norm) for norm in norms)


def attacks_at(record: AuditRecord, threat: MainThreat) -> tuple[Measurement, ...]:
    """Return the attacks measured with exactly this norm and epsilon."""
    return tuple(m for m in record.of("attack") if _threat(m) == threat)


def worst_case(record: AuditRecord, threat: MainThreat) -> WorstCase | None:
    """Return the images that withstood everything tried within the threat; None if nothing was.

    Without rows in the record it is the strongest single attack, which may only be too kind to the model.
    """
    inside = tuple(m for m in record.of("attack") if _is_inside(m, threat))
    if not inside:
        return None
    if not record.rows:
        return WorstCase(least_of(inside), None, inside)
    kept = len(withstood(record, threat))
    clean = record["clean"].correct.count
    return WorstCase(Rate(kept, len(record.rows)), Rate(clean - kept, clean), inside)


def withstood(record: AuditRecord, threat: MainThreat) -> frozenset[int]:
    """Return the ids of the rows that were correct without an attack and under every attack within the threat."""
    keys = ["clean", *(m.key for m in record.of("attack") if _is_inside(m, threat))]
    return frozenset(row.id for row in record.rows if row.stands(*keys))


def withstood_by_class(record: AuditRecord, threat: MainThreat) -> tuple[Rate, ...]:
    """Return, for every class, how many of its rows `withstood` the threat."""
    kept = withstood(record, threat)
    return tuple(
        Rate(sum(r.id in kept for r in record.rows if r.label == label), sum(r.label == label for r in record.rows))
        for label in range(len(record.data.classes))
    )


def attack_names(record: AuditRecord, attacks: Sequence[Measurement]) -> tuple[str, ...]:
    """Return what these attacks are called, each name once, with the number of images where it was not tried on all."""
    asked: dict[str, int] = {}
    for measurement in attacks:
        name = condition_name(measurement.name)
        asked[name] = max(asked.get(name, 0), measurement.correct.n)
    return tuple(name if n == record.data.n else f"{name} (on {n:,} images)" for name, n in asked.items())


def only_beyond(record: AuditRecord, threat: MainThreat) -> tuple[str, ...]:
    """Return the names of attacks that were tried at larger radii of this norm, and not within this one.

    Black boxes and transfer, which never are, are left out.
    """
    found = [m for m in record.of("attack") if (own := _threat(m)) is not None and own.norm == threat.norm]
    tried = {(m.name, effort_text(m)) for m in found if _is_inside(m, threat)}
    later = [m for m in found if not m.at_one_radius and (m.name, effort_text(m)) not in tried]
    return tuple(dict.fromkeys(condition_name(m.name) for m in later))


def _threats(record: AuditRecord) -> list[MainThreat]:
    return [threat for m in record.of("attack") if (threat := _threat(m)) is not None]


def _threat(measurement: Measurement) -> MainThreat | None:
    if measurement.threat is None:
        return None
    return MainThreat(str(measurement.threat["norm"]), float(measurement.threat["epsilon"]))


def _is_inside(measurement: Measurement, threat: MainThreat) -> bool:
    own = _threat(measurement)
    return own is not None and own.norm == threat.norm and own.epsilon <= threat.epsilon
