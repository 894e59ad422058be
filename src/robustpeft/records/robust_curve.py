"""How does the worst case fall with the radius? Robust accuracy against epsilon, and the area under it."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass

from robustpeft.records.audit_record import AuditRecord
from robustpeft.records.rate import Rate

__all__ = ["RobustCurve", "at_every_radius", "robust_curves"]


@dataclass(frozen=True)
class RobustCurve:
    """Worst case over the attacks of one norm that were tried at every radius, image by image.

    Args:
        norm: Of the threats.
        points: (epsilon, images correct as they are and under every attack within epsilon), ascending; the first is
            epsilon 0, the clean images. With an attack that broke an image within a smaller radius it counts as broken
            within a larger one, so the counts never rise.
    """

    norm: str
    points: tuple[tuple[float, Rate], ...]

    @property
    def area(self) -> float:
        """Mean robust accuracy over [0, largest epsilon] by the trapezoidal rule, in [0, 1].

        The area of two curves compares only where the largest epsilon and the radii between are the same.
        """
        steps = itertools.pairwise(self.points)
        total = sum((b - a) * (one.fraction + other.fraction) / 2 for (a, one), (b, other) in steps)
        return total / self.points[-1][0]


def robust_curves(record: AuditRecord) -> tuple[RobustCurve, ...]:
    """Return one curve per norm that was attacked, in the order of the record; none if it holds no rows.

    Attacks that were not tried at every radius are left out: one point would be of other attackers than another.
    """
    if not record.rows:
        return ()
    steady = at_every_radius(record)
    radii: dict[str, dict[float, list[str]]] = {}
    for measurement in record.measurements:
        if measurement.key in steady and measurement.threat is not None:
            of_norm = radii.setdefault(str(measurement.threat["norm"]), {})
            of_norm.setdefault(float(measurement.threat["epsilon"]), []).append(measurement.key)
    return tuple(RobustCurve(norm, _points(record, by_radius)) for norm, by_radius in radii.items())


def at_every_radius(record: AuditRecord) -> frozenset[str]:
    """Return the keys of the attacks, of one name and settings, that were tried at every radius of their norm.

    Black boxes and transfer never are, also where there is one radius. Of a norm of which no attack was, all.
    """
    radii: dict[str, dict[tuple[str, str], dict[float, list[str]]]] = {}
    for m in record.of("attack"):
        if m.threat is not None and not m.at_one_radius:
            attack = (m.name, json.dumps(m.settings, sort_keys=True, default=str))
            by_radius = radii.setdefault(str(m.threat["norm"]), {}).setdefault(attack, {})
            by_radius.setdefault(float(m.threat["epsilon"]), []).append(m.key)
    found: set[str] = set()
    for attacks in radii.values():
        most = set().union(*attacks.values())
        steady = [by_radius for by_radius in attacks.values() if by_radius.keys() == most] or list(attacks.values())
        found.update(key for by_radius in steady for keys in by_radius.values() for key in keys)
    return frozenset(found)


def _points(record: AuditRecord, by_radius: dict[float, list[str]]) -> tuple[tuple[float, Rate], ...]:
    left = [row for row in record.rows if row.stands("clean")]
    points = [(0.0, Rate(len(left), len(record.rows)))]
    for epsilon in sorted(by_radius):
        left = [row for row in left if row.stands(*by_radius[epsilon])]
        points.append((epsilon, Rate(len(left), len(record.rows))))
    return tuple(points)
