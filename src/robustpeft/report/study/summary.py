"""What did each arm come to, over its seeds? Means, deviations, and the images that it keeps."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.records import ArmRecord, AuditRecord, Rate, StudyRecord
from robustpeft.report.worst_case import MainThreat, main_threats, withstood

__all__ = ["ArmSummary", "GridSummary", "Spread", "summarise_grid"]


@dataclass(frozen=True)
class Spread:
    """One accuracy of an arm.

    Args:
        shares: One per seed, in [0, 1].
        n: Images that each was counted on.
    """

    shares: tuple[float, ...]
    n: int

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.fmean(self.shares)

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds; NaN for one."""
        return statistics.stdev(self.shares) if len(self.shares) > 1 else math.nan

    def interval(self) -> tuple[float, float]:
        """Return the 95 % Wilson interval of the mean over images.

        The images of all seeds are the same, so they count once.
        """
        return Rate(round(self.mean * self.n), self.n).interval()


@dataclass(frozen=True)
class ArmSummary:
    """An arm, over its seeds.

    Args:
        arm: What it is.
        measured: Accuracy under each condition of the audit, by key.
        robust: Accuracy under every attack within each threat that all arms of the grid share.
        kept: Ids of the images that more than half of the seeds keep right within the headline threat.
        clean_kept: The same without an attack.
        num_trained: Trained parameters, head included.
        num_parameters: Of the whole model.
    """

    arm: ArmRecord
    measured: dict[str, Spread]
    robust: dict[MainThreat, Spread]
    kept: frozenset[int]
    clean_kept: frozenset[int]
    num_trained: int
    num_parameters: int


@dataclass(frozen=True)
class GridSummary:
    """The arms of one grid on the same images.

    Args:
        name: Of the grid.
        arms: In the order of the file.
        threats: That all arms were attacked at, ascending.
        headline: At which they are compared; None if there is none.
        example: One audit, for the names of things.
    """

    name: str
    arms: tuple[ArmSummary, ...]
    threats: tuple[MainThreat, ...]
    headline: MainThreat | None
    example: AuditRecord


def summarise_grid(study: StudyRecord, grid: str) -> GridSummary | None:
    """Return the summary of a grid; None if no arm of it has been judged."""
    arms = study.of(grid)
    if not arms:
        return None
    audits = {arm.label: [study.audit(run) for run in arm.whole] for arm in arms}
    every = [audit for found in audits.values() for audit in found]
    threats = _common(every)
    main = main_threats(every) if threats else ()
    headline = next((t for t in threats if t.epsilon == study.headline), main[0] if main else None)
    summaries = tuple(_summarise(arm, audits[arm.label], threats, headline) for arm in arms)
    return GridSummary(grid, summaries, threats, headline, every[0])


def _common(audits: Sequence[AuditRecord]) -> tuple[MainThreat, ...]:
    """Return the threats of all audits, by norm and radius."""
    sets = [
        {MainThreat(str(m.threat["norm"]), float(m.threat["epsilon"])) for m in audit.of("attack") if m.threat}
        for audit in audits
    ]
    return tuple(sorted(set.intersection(*sets)))


def _summarise(
    arm: ArmRecord, audits: Sequence[AuditRecord], threats: Sequence[MainThreat], headline: MainThreat | None
) -> ArmSummary:
    keys = [m.key for m in audits[0].measurements if all(m.key in {o.key for o in a.measurements} for a in audits)]
    n = len(audits[0].rows)
    return ArmSummary(
        arm,
        {key: Spread(tuple(audit[key].correct.fraction for audit in audits), n) for key in keys},
        {t: Spread(tuple(len(withstood(audit, t)) / n for audit in audits), n) for t in threats},
        frozenset() if headline is None else _majority([withstood(audit, headline) for audit in audits]),
        _majority([frozenset(r.id for r in audit.rows if r.predictions["clean"] == r.label) for audit in audits]),
        arm.whole[0].num_trained,
        arm.whole[0].num_parameters,
    )


def _majority(sets: Sequence[frozenset[int]]) -> frozenset[int]:
    times = Counter(image for kept in sets for image in kept)
    return frozenset(image for image, count in times.items() if 2 * count > len(sets))
