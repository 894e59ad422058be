"""How was it done? What was chosen how, what was run, and who judged, in one paragraph."""

from __future__ import annotations

from collections.abc import Sequence

from robustpeft.records import AuditRecord, Measurement, StudyRecord, at_every_radius
from robustpeft.report.study.summary import GridSummary
from robustpeft.report.wording import condition_name, data_text, date_text, effort_text, number_text

__all__ = ["protocol"]


def protocol(study: StudyRecord, grids: Sequence[GridSummary]) -> str:
    """Return one paragraph: what was chosen how, and who judged."""
    counts = sorted({len(arm.trials) for arm in study.arms})
    chosen = [key for arm in study.arms for key in (arm.trials[0].settings if arm.trials else ())]
    sentences = []
    if chosen:
        keys = ", ".join(dict.fromkeys(chosen))
        trials = " or ".join(map(str, counts))
        sentences.append(
            f"For every arm {keys} was chosen on validation images from {trials} trials, the same number for all arms "
            "of a grid; ties go to the value that was named first."
        )
    seeds = sorted({run.seed for arm in study.arms for run in arm.runs})
    sentences.append(
        f"What was chosen was run anew with seeds {', '.join(map(str, seeds))}; only these runs were judged."
    )
    for grid in grids:
        record = grid.example
        steady = at_every_radius(record)
        attacks = dict.fromkeys(_named(m, record, everywhere=m.key in steady) for m in record.of("attack"))
        note = f" ({record.data.note.rstrip('.')})" if record.data.note else ""
        sentences.append(
            f"Grid {grid.name}: {record.subject.backbone} on {data_text(record.data)}{note}. Attacks: "
            f"{', '.join(attacks) or 'none'}; an image counts as robust within a radius if it is right without an "
            "attack and under every attack that was tried up to this radius."
        )
    if budgets := sorted({arm.budget for arm in study.arms if arm.budget is not None}):
        listed = ", ".join(f"{budget:,}" for budget in budgets)
        sentences.append(
            f"At the equal budgets {listed} every technique has the largest size whose trained parameters, without the "
            "head, are within the budget."
        )
    if study.contrasts:
        sentences.append(
            "Planned comparisons are McNemar's exact tests on the same test images, where an image counts for an arm "
            "if more than half of its seeds keep it right, with Holm's correction over all of them; intervals are "
            "Wilson's over images and Student's over seeds, 95 %; those of a share of another arm are percentiles of "
            "4,000 bootstrap draws of images and seeds. Nothing is claimed on an arm of which a run collapsed."
        )
    sentences += _where(study, grids)
    return " ".join(" ".join(sentences).split())


def _named(measurement: Measurement, record: AuditRecord, *, everywhere: bool) -> str:
    effort = effort_text(measurement)
    named = f"{condition_name(measurement.name)} ({effort})" if effort else condition_name(measurement.name)
    part = "" if measurement.correct.n == record.data.n else f" on {measurement.correct.n:,} images"
    return named if everywhere else f"{named} at {number_text(measurement.strength or 0.0)} alone{part}"


def _where(study: StudyRecord, grids: Sequence[GridSummary]) -> list[str]:
    """Return where and when the first of the judged was judged, and what to type to judge it again."""
    places = dict.fromkeys(
        f"{', '.join(f'{name} {value}' for name, value in grid.example.environment.items())}, {date_text(grid.example)}"
        for grid in grids
        if grid.example.environment
    )
    said = [f"Measured with: {'; '.join(places)}."] if places else []
    return [*said, f"To repeat it: {study.command}"] if study.command else said
