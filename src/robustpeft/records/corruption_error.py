"""How much more does a model err on corrupted images than a reference? CE per corruption, and their mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robustpeft.errors import UserError
from robustpeft.records.audit_record import AuditRecord, Measurement

__all__ = ["CorruptionErrors", "corruption_errors", "corruption_measurements"]


@dataclass(frozen=True)
class CorruptionErrors:
    """Errors relative to those of a reference; 1 is as many.

    Args:
        reference: Label of the model compared with.
        by_kind: CE of each corruption; infinite where the reference never errs and the model does, 1 where neither.
        relative_by_kind: Likewise of the errors added to those on clean images; None where the reference has no more
            errors on corrupted images than on clean ones, so that no ratio means anything.
    """

    reference: str
    by_kind: Mapping[str, float]
    relative_by_kind: Mapping[str, float | None]

    @property
    def mean(self) -> float:
        """Mean of the CEs: mCE."""
        return sum(self.by_kind.values()) / len(self.by_kind)

    @property
    def relative_mean(self) -> float | None:
        """Mean of the relative CEs; None if one of them is."""
        known = [value for value in self.relative_by_kind.values() if value is not None]
        return sum(known) / len(known) if len(known) == len(self.by_kind) else None


def corruption_measurements(record: AuditRecord) -> dict[str, tuple[Measurement, ...]]:
    """Return the measurements of every kind of common corruption, in order of severity."""
    found: dict[str, tuple[Measurement, ...]] = {}
    for measurement in record.of("perturbation", "corruption"):
        kind = str(measurement.settings["kind"])
        found[kind] = (*found.get(kind, ()), measurement)
    order = [str(m.settings["kind"]) for m in record.measurements if m.name == "corruption"]
    return {kind: found[kind] for kind in dict.fromkeys(order)}


def corruption_errors(record: AuditRecord, reference: AuditRecord) -> CorruptionErrors:
    """Return the corruption errors of a model.

        CE_c  = sum_s E_{s,c} / sum_s E^ref_{s,c},   mCE = mean_c CE_c
        relative CE_c = sum_s (E_{s,c} - E_clean) / sum_s (E^ref_{s,c} - E^ref_clean)

    Args:
        record: Of the model; must hold common corruptions.
        reference: Of another model, on the same images with the same corruptions.

    Raises:
        UserError: If there are no corruptions, or images or corruptions differ.

    Source:
        Hendrycks and Dietterich 2019, arXiv 1903.12261, Section 4.1, Equations 1 and 2. Difference: any reference,
        where theirs is AlexNet on ImageNet; the clean error is subtracted once for every severity. Our frost is drawn
        (see `robustpeft.perturbations.Corruption`), so its CE is not theirs.
    """
    mine, theirs = corruption_measurements(record), corruption_measurements(reference)
    if not mine:
        raise UserError(f"{record.subject.label} was not audited under common corruptions; audit it with some")
    if record.data.digest != reference.data.digest:
        raise UserError(
            f"{record.subject.label} and {reference.subject.label} were judged on different images; audit them alike"
        )
    if {k: _conditions(v) for k, v in mine.items()} != {k: _conditions(v) for k, v in theirs.items()}:
        raise UserError(
            f"{record.subject.label} and {reference.subject.label} were audited under different corruptions or "
            "severities; audit them alike"
        )
    clean, reference_clean = (_errors(r["clean"]) for r in (record, reference))
    by_kind, relative = {}, {}
    for kind in mine:
        errors, base = (sum(map(_errors, found[kind])) for found in (mine, theirs))
        severities = len(mine[kind])
        by_kind[kind] = errors / base if base else (float("inf") if errors else 1.0)
        added = base - severities * reference_clean
        relative[kind] = (errors - severities * clean) / added if added > 0 else None
    return CorruptionErrors(reference.subject.label, by_kind, relative)


def _errors(measurement: Measurement) -> int:
    return measurement.correct.n - measurement.correct.count


def _conditions(measurements: tuple[Measurement, ...]) -> list[object]:
    return [measurement.settings for measurement in measurements]
