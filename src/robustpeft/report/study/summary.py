"""What did each arm come to, over its seeds? Means, intervals, the images that it keeps, and whether it collapsed."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from robustpeft.records import ArmRecord, AuditRecord, Rate, RunRecord, StudyRecord, mean_interval
from robustpeft.report.headline import headline as headline_of
from robustpeft.report.worst_case import MainThreat, main_threats, withstood

__all__ = ["ArmSummary", "GridSummary", "Spread", "collapse", "summarise_grids"]


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

    def over_seeds(self) -> tuple[float, float]:
        """Return the 95 % interval of the mean over seeds, within [0, 1]; (0, 1) for one seed."""
        low, high = mean_interval(self.shares)
        return max(0.0, low), min(1.0, high)


@dataclass(frozen=True)
class ArmSummary:
    """An arm, over its seeds.

    Args:
        arm: What it is; where its grid spans several data sets, labelled without its data set.
        measured: Accuracy under each condition of the audit, by key.
        robust: Accuracy under every attack within each threat that all arms of the grid share.
        held: Ids of the images that each seed keeps right within the headline threat.
        clean_kept: Ids of those that more than half of the seeds keep right without an attack.
        num_trained: Trained parameters, head included.
        num_parameters: Of the whole model.
        collapsed: Why nothing is claimed on it: a run of it diverged or learned nothing. Else empty.
        method: The technique's name and fields.
        objective: What tuning minimised, likewise.
        doubts: By which seeds' audits the accuracy must not be published, or is an upper bound, and why.
    """

    arm: ArmRecord
    measured: dict[str, Spread]
    robust: dict[MainThreat, Spread]
    held: tuple[frozenset[int], ...]
    clean_kept: frozenset[int]
    num_trained: int
    num_parameters: int
    collapsed: str = ""
    method: Mapping[str, Any] | None = None
    objective: Mapping[str, Any] | None = None
    doubts: tuple[str, ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs that were judged, in the order of `held` and of the shares."""
        return tuple(run.seed for run in self.arm.whole)

    def of_seeds(self, seeds: Sequence[int]) -> ArmSummary:
        """Return what these seeds alone came to under attack."""
        places = [self.seeds.index(seed) for seed in seeds]
        runs = tuple(run for run in self.arm.runs if run.seed in seeds)
        robust = {t: replace(s, shares=tuple(s.shares[i] for i in places)) for t, s in self.robust.items()}
        held = tuple(self.held[i] for i in places)
        return replace(self, arm=replace(self.arm, runs=runs), robust=robust, held=held)

    @property
    def kept(self) -> frozenset[int]:
        """Ids of the images that more than half of the seeds keep right within the headline threat."""
        return _majority(self.held)


@dataclass(frozen=True)
class GridSummary:
    """The arms of one grid on the same images.

    Args:
        name: Of the grid, and of the data set where the grid spans several.
        grid: Of the grid alone.
        arms: In the order of the file.
        threats: That all arms were attacked at, ascending.
        headline: At which they are compared; None if there is none.
        example: One audit, for the names of things.
    """

    name: str
    grid: str
    arms: tuple[ArmSummary, ...]
    threats: tuple[MainThreat, ...]
    headline: MainThreat | None
    example: AuditRecord

    @property
    def sound(self) -> tuple[ArmSummary, ...]:
        """The arms that have not collapsed: only of these something is claimed."""
        return tuple(summary for summary in self.arms if not summary.collapsed)


_Judged = tuple[ArmRecord, list[AuditRecord]]


def summarise_grids(study: StudyRecord, grid: str) -> tuple[GridSummary, ...]:
    """Return the summaries of a grid, one for each set of images; none if no arm of it has been judged."""
    by_images: dict[tuple[str, str], list[_Judged]] = {}
    for arm in study.of(grid):
        for images, judged in _by_images(study, arm).items():
            by_images.setdefault(images, []).append(judged)
    names = [name for name, _ in by_images]
    return tuple(
        _grid_summary(study, grid, judged, "" if len(names) == 1 else _told_apart(name, digest, names))
        for (name, digest), judged in by_images.items()
    )


def collapse(audit: AuditRecord) -> str:
    """Return why a run has learned nothing: it answers one class alone, or is right no more often than that would be.

    lower end of the 95 % Wilson interval of clean accuracy <= share of the most frequent class
    """
    if not audit.rows:
        return ""
    answers = {row.predictions["clean"] for row in audit.rows}
    if len(answers) == 1 and len({row.label for row in audit.rows}) > 1:
        return "it answers one class alone"
    frequent = Counter(row.label for row in audit.rows).most_common(1)[0][1] / len(audit.rows)
    clean = audit["clean"].correct
    if clean.interval()[0] <= frequent and clean.fraction < 1:
        return (
            f"its clean accuracy, {100 * clean.fraction:.1f} %, is not above the {100 * frequent:.1f} % of the most "
            "frequent class"
        )
    return ""


def _by_images(study: StudyRecord, arm: ArmRecord) -> dict[tuple[str, str], _Judged]:
    """Return the arm with those of its runs that were judged on the same images, most often all, and their audits."""
    audits = [(run, study.audit(run)) for run in arm.whole]
    found: dict[tuple[str, str], _Judged] = {}
    for key in dict.fromkeys((audit.data.name, audit.data.digest) for _, audit in audits):
        here = {run.identity: audit for run, audit in audits if (audit.data.name, audit.data.digest) == key}
        runs = tuple(run for run in arm.runs if run.failed or run.identity in here)
        found[key] = (replace(arm, runs=runs), list(here.values()))
    return found


def _told_apart(name: str, digest: str, names: Sequence[str]) -> str:
    return name if names.count(name) == 1 else f"{name} {digest[:8]}"


def _grid_summary(study: StudyRecord, grid: str, judged: Sequence[_Judged], data: str) -> GridSummary:
    every = [audit for _, audits in judged for audit in audits]
    threats = _common(every)
    main = main_threats(every) if threats else ()
    headline = next((t for t in threats if t.epsilon == study.headline), main[0] if main else None)
    arms = [arm for arm, _ in judged]
    if data:
        arms = [_without_data(arm, arms) for arm in arms]
    summaries = tuple(_summarise(arm, audits, threats, headline) for arm, (_, audits) in zip(arms, judged, strict=True))
    return GridSummary(f"{grid}, {data}" if data else grid, grid, summaries, threats, headline, every[0])


def _without_data(arm: ArmRecord, arms: Sequence[ArmRecord]) -> ArmRecord:
    """Return the arm labelled by those axes on which arms of the same images differ."""
    differing = [axis for axis in arm.coordinates if len({other.coordinates.get(axis) for other in arms}) > 1]
    label = ", ".join(arm.coordinates[axis] for axis in differing) or arm.label
    return replace(arm, label=label, group=label if arm.group == arm.label else arm.group)


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
        {key: Spread(tuple(audit[key].correct.fraction for audit in audits), audits[0][key].correct.n) for key in keys},
        {t: Spread(tuple(len(withstood(audit, t)) / n for audit in audits), n) for t in threats},
        () if headline is None else tuple(withstood(audit, headline) for audit in audits),
        _majority([frozenset(r.id for r in audit.rows if r.predictions["clean"] == r.label) for audit in audits]),
        arm.whole[0].num_trained,
        arm.whole[0].num_parameters,
        next((f"seed {run.seed}: {why}" for run, why in _collapses(arm, audits)), ""),
        audits[0].subject.method,
        audits[0].subject.objective,
        tuple(
            f"seed {run.seed}: {doubt}"
            for run, audit in zip(arm.whole, audits, strict=True)
            for doubt in _doubts(audit)
        ),
    )


def _collapses(arm: ArmRecord, audits: Sequence[AuditRecord]) -> list[tuple[RunRecord, str]]:
    """Return the runs that learned nothing; to leave out one that diverged would judge the arm by its luckier seeds."""
    found = ((run, collapse(audit)) for run, audit in zip(arm.whole, audits, strict=True))
    diverged = [(run, run.failed) for run in arm.runs if run.diverged]
    return [*diverged, *((run, why) for run, why in found if why)]


def _doubts(audit: AuditRecord) -> list[str]:
    verdict = {"refused": "its accuracy must not be published", "upper_bound": "its robust accuracy is an upper bound"}
    failed = ", ".join(check.title for check in audit.checks if check.verdict == "fail" and check.group != "statistics")
    said = verdict.get(headline_of(audit).kind)
    return [f"{said}; it does not hold: {failed or 'more than queries were tried'}"] if said else []


def _majority(sets: Sequence[frozenset[int]]) -> frozenset[int]:
    times = Counter(image for kept in sets for image in kept)
    return frozenset(image for image, count in times.items() if 2 * count > len(sets))
