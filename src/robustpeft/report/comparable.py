"""May these records stand in one table? Only if they were measured on the same images under the same conditions."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from robustpeft.errors import UserError
from robustpeft.records import AuditRecord
from robustpeft.report.wording import technique_name

__all__ = ["comparable"]


def comparable(records: Sequence[AuditRecord]) -> tuple[AuditRecord, ...]:
    """Return the records if they may be compared, each with a label of its own (a repeated one gets a number).

    Raises:
        UserError: If there is none, or naming the records whose images, classes or conditions differ.
    """
    if not records:
        raise UserError("a report needs at least one audit record; got none")
    _require_same(records, "images (data digest)", lambda r: f"{r.data.name}, {r.data.split}, {r.data.digest[:12]}")
    _require_same(records, "image sizes, and epsilon depends on them,", lambda r: "{} x {}".format(*r.data.image_size))
    _require_same(records, "class names", lambda r: ", ".join(r.data.classes))
    for key in sorted({m.key for record in records for m in record.measurements}):
        having = [record for record in records if any(m.key == key for m in record.measurements)]
        _require_same(having, f"settings of {key}", partial(_settings, key))
    return _distinct(records)


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
