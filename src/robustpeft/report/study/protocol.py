"""How was it done? What was chosen how, what was run, and who judged, in one paragraph."""

from __future__ import annotations

from collections.abc import Sequence

from robustpeft.records import AuditRecord, Measurement, StudyRecord, at_every_radius
from robustpeft.report.study.summary import GridSummary
from robustpeft.report.wording import condition_name, data_text, date_text, effort_text, number_text

__all__ = ["protocol"]


def protocol(study: StudyRecord, grids: Sequence[GridSummary]) -> str:
    """Return one paragraph: what was chosen how, and who judged."""
    sentences = _choice(study)
    seeds = sorted({run.seed for arm in study.arms for run in arm.runs})
    sentences.append(
        f"What was chosen was run anew with seeds {', '.join(map(str, seeds))}; only these runs were judged."
    )
    for grid in grids:
        record = grid.example
        steady = at_every_radius(record)
        attacks = dict.fromkeys(_named(m, record, everywhere=m.key in steady) for m in record.of("attack"))
        note = f" ({record.data.note.rstrip('.')})" if record.data.note else ""
        unchecked = "" if record.checks else " No check was made of these audits."
        sentences.append(
            f"Grid {grid.name}: {record.subject.backbone} on {data_text(record.data)}{note}. Attacks: "
            f"{', '.join(attacks) or 'none'}; an image counts as robust within a radius if it is right without an "
            f"attack and under every attack that was tried up to this radius.{unchecked}"
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
            "if more than half of its seeds keep it right, of the seeds that both arms have, with Holm's correction "
            "over all of them. They take the tuned models as they are: what other seeds would come to, they do not "
            "say. Intervals are Wilson's over images and Student's over seeds, 95 %; those of a share of another arm "
            "are percentiles of 4,000 bootstrap draws of images and seeds, which are too narrow with two or three "
            "seeds that differ much. Nothing is claimed on an arm of which a run diverged or collapsed."
        )
    sentences += _where(study, grids)
    return " ".join(" ".join(sentences).split())


def _choice(study: StudyRecord) -> list[str]:
    """Return what was chosen, from how many trials and by what; nothing if nothing was."""
    choosing = [arm for arm in study.arms if arm.trials]
    if not choosing:
        return []
    keys = ", ".join(dict.fromkeys(key for arm in choosing for key in arm.trials[0].settings))
    trials = " or ".join(map(str, sorted({len(arm.trials) for arm in choosing})))
    grids = ", ".join(dict.fromkeys(arm.grid for arm in choosing))
    where = "" if len(choosing) == len(study.arms) else f" of {grids}"
    attacked = [any(trial.attacked for trial in arm.trials) for arm in choosing]
    first = "most images right under the selection attack, then most without it"
    alone = "most images right without an attack"
    if any(attacked):
        by = first if all(attacked) else f"{first} ({alone} for arms tuned without an adversary)"
    else:
        by = alone
    return [
        f"For every arm{where} {keys} was chosen on validation images from {trials} trials, the same number for all "
        f"arms of a grid, by {by}; ties go to the value that was named first, and a trial that "
        "collapsed goes on only where all did."
    ]


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
