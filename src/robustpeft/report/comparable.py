"""May these records stand in one table? Only if they were measured on the same images under the same conditions."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from robustpeft.errors import UserError
from robustpeft.records import AuditRecord
from robustpeft.report.wording import technique_name

__all__ = ["comparable", "differences"]


def comparable(records: Sequence[AuditRecord]) -> tuple[AuditRecord, ...]:
    """Return the records if they may be compared, each with a label of its own (a repeated one gets a number).

    In what they differ nevertheless, `differences` says.

    Raises:
        UserError: If there is none, or naming the records whose images, classes or conditions differ.
    """
    if not records:
        raise UserError("a report needs at least one audit record; got none")
    _require_same(records, "images (data digest)", lambda r: f"{r.data.name}, {r.data.split}, {r.data.digest[:12]}")
    sealed = [record for record in records if record.seal is not None]
    _require_same(sealed, "pixels", lambda r: r.seal.pixels[:12] if r.seal else "")
    _require_same(records, "image sizes, and epsilon depends on them,", lambda r: "{} x {}".format(*r.data.image_size))
    _require_same(records, "class names", lambda r: ", ".join(r.data.classes))
    for key in sorted({m.key for record in records for m in record.measurements}):
        having = [record for record in records if any(m.key == key for m in record.measurements)]
        _require_same(having, f"settings of {key}", partial(_settings, key))
    return _distinct(records)


def differences(records: Sequence[AuditRecord]) -> tuple[str, ...]:
    """Return a sentence for everything in which the audits differed although they may stand in one report.

    Whatever is not known of all of them, because the seal of one is missing, is not compared.
    """
    said = []
    for what, view in _CONDITIONS.items():
        seen = {record.subject.label: view(record) for record in records}
        if None not in seen.values() and len(set(seen.values())) > 1:
            listed = "; ".join(f"{label}: {value}" for label, value in seen.items())
            said.append(f"The audits differ in {what}: {listed}. A gap between the models may come of that.")
    return tuple(said)


def _attacks(record: AuditRecord) -> str:
    """Return the attacks of the plan at their radii; what comes of adapters and siblings differs by nature."""
    keys = [m.key for m in record.measurements if m.kind == "attack" and m.name not in ("transfer", "sibling")]
    return ", ".join(sorted(keys)) or "none"


def _asked(record: AuditRecord) -> str:
    return ", ".join(f"{m.correct.n:,} by {m.key}" for m in record.of("attack") if m.queries is not None) or "none"


def _sealed(field: str, record: AuditRecord) -> str | None:
    return None if record.seal is None else str(record.seal.plan.get(field, "unknown"))


def _version(record: AuditRecord) -> str | None:
    return None if record.seal is None else ", ".join(f"{n} {v}" for n, v in sorted(record.seal.versions.items()))


_CONDITIONS: Mapping[str, Callable[[AuditRecord], str | None]] = {
    "the attacks that were tried": _attacks,
    "how many images were asked about": _asked,
    "the seed": lambda record: str(record.seed),
    "the precision of the attacks' passes": partial(_sealed, "precision"),
    "how thoroughly they doubt themselves": partial(_sealed, "checks"),
    "the versions of the software": _version,
}


def _require_same(records: Sequence[AuditRecord], what: str, view: Callable[[AuditRecord], str]) -> None:
    views = [view(record) for record in records]
    if len(set(views)) > 1:
        listing = "; ".join(f"{r.subject.label}: {seen}" for r, seen in zip(records, views, strict=True))
        raise UserError(f"these records cannot stand in one report, their {what} differ: {listing}. Audit them alike")


def _settings(key: str, record: AuditRecord) -> str:
    measurement = record[key]
    fields = {k: measurement.settings[k] for k in sorted(measurement.settings)}
    return technique_name({"name": measurement.name, **fields, **(measurement.threat or {})})


def _distinct(records: Sequence[AuditRecord]) -> tuple[AuditRecord, ...]:
    total = Counter(record.subject.label for record in records)
    seen: Counter[str] = Counter()
    renamed = []
    for record in records:
        label = record.subject.label
        seen[label] += 1
        numbered = f"{label} ({seen[label]})" if total[label] > 1 else label
        subject = dataclasses.replace(record.subject, label=numbered)
        renamed.append(dataclasses.replace(record, subject=subject))
    return tuple(renamed)
