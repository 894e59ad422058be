"""Do the files of a record agree with each other? Seal, counts, rows, ledger and kept images, without a model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustpeft.auditing.borrowed import borrowed_condition
from robustpeft.auditing.conditions import Condition, conditions_of
from robustpeft.auditing.kept_files import file_digest
from robustpeft.auditing.ledger_consistency import (
    check_rows_against,
    images_tried,
    other_work,
    read_whole_ledger,
)
from robustpeft.auditing.plan import AuditPlan
from robustpeft.auditing.sealing import plan_of, smallest_counts
from robustpeft.auditing.siblings import sibling_conditions
from robustpeft.auditing.smallest import minimal_conditions
from robustpeft.errors import UserError
from robustpeft.records import AuditRecord
from robustpeft.records.verification import Finding

__all__ = ["Dossier", "check_consistency"]


@dataclass(frozen=True)
class Dossier:
    """A record as it was read, and what lies beside it.

    Args:
        record: The record.
        directory: Where it lies.
        ledger: Directory of its ledger.
        doubts: What spoke against it when it was read.
        trust: Import the modules of classes of others that the seal names.
    """

    record: AuditRecord
    directory: Path
    ledger: Path
    doubts: tuple[str, ...] = ()
    trust: bool = False

    def plan(self) -> AuditPlan:
        """Return the sealed plan.

        Raises:
            UserError: If there is no seal, or it describes no plan.
        """
        if self.record.seal is None:
            raise UserError("the record has no seal: it was made by an earlier version")
        return plan_of(self.record.seal, trust=self.trust)


def check_consistency(dossier: Dossier) -> list[Finding]:
    """Return what the files say of each other.

    Whoever changes all of them alike is not found out here, only by asking the model.
    """
    findings = [_files(dossier), _seal(dossier.record), _plan(dossier), _rows(dossier), _ledger(dossier)]
    return [*findings, _kept(dossier)] if dossier.record.adversarial else findings


def _files(dossier: Dossier) -> Finding:
    if dossier.doubts:
        return Finding("files", "refuted", "; ".join(dossier.doubts))
    count = len(dossier.record.measurements)
    if not dossier.record.rows:
        return Finding("files", "unchecked", "the rows, one for each image, are not beside the record")
    if dossier.record.seal is None:
        return Finding("files", "confirmed", f"{count} counts follow from {len(dossier.record.rows)} rows")
    return Finding("files", "confirmed", f"unchanged; {count} counts follow from {len(dossier.record.rows)} rows")


def _seal(record: AuditRecord) -> Finding:
    seal = record.seal
    if seal is None:
        return Finding("seal", "unchecked", "the record has none: it was made by an earlier version")
    if seal.computed() != seal.digest:
        return Finding("seal", "refuted", "it was changed: its digest is not that of what it says")
    pairs = {
        "digest of the data": (record.data.digest, seal.data),
        "number of images": (record.data.n, seal.images),
        "class names": (record.data.classes, seal.classes),
        "image size": (record.data.image_size, seal.image_size),
        "seed": (record.seed, seal.seed),
    }
    other = [name for name, (mine, sealed) in pairs.items() if mine != sealed]
    if other:
        return Finding("seal", "refuted", f"the record belongs to another seal: other {', '.join(other)}")
    return Finding("seal", "confirmed", f"{seal.digest}; its parts have this digest, and the record says the same")


def _plan(dossier: Dossier) -> Finding:
    record = dossier.record
    try:
        plan = dossier.plan()
        conditions = conditions_of(plan, record.data.image_size)
    except (UserError, ValueError) as error:
        return Finding("plan", "unchecked", str(error))
    if (borrowed := borrowed_condition(plan, record.subject)) is not None:
        conditions = (*conditions, borrowed)
    assert record.seal is not None  # there is a plan
    minimal = minimal_conditions(plan)
    if not smallest_counts(record.seal) and not {m.key for m in record.measurements} & {c.key for c in minimal}:
        minimal = ()  # an earlier version, which counted what FMN found apart
    conditions = (*conditions, *sibling_conditions(plan), *minimal)
    sealed = [(c.key, c.kind, c.name, c.settings, c.queries, c.plain_threat) for c in conditions]
    by_key = {c.key: c for c in conditions}
    measured = [
        (m.key, m.kind, m.name, m.settings, m.queries, _whole_threat(m.threat, by_key.get(m.key)))
        for m in record.measurements
    ]
    plain = [_plain(entry) for entry in sealed], [_plain(entry) for entry in measured]
    wrong = [entry[0] for entry in plain[1] if entry not in plain[0]]
    left_out = [entry[0] for entry in plain[0] if entry[0] not in {mine[0] for mine in plain[1]}]
    if wrong:
        return Finding("plan", "refuted", f"measured otherwise than was sealed: {', '.join(wrong)}")
    if left_out:
        return Finding("plan", "refuted", f"sealed, but not in the record: {', '.join(left_out)}")
    return Finding("plan", "confirmed", f"all {len(sealed)} conditions that were sealed were measured, and no others")


def _whole_threat(said: Mapping[str, Any] | None, condition: Condition | None) -> Mapping[str, Any] | None:
    """Return a threat with the fields that an earlier version did not write, where what was sealed is their default."""
    if said is None or condition is None or condition.threat is None or condition.plain_threat is None:
        return said
    threat, plain = condition.threat, condition.plain_threat
    defaults = {f.name: plain[f.name] for f in dataclasses.fields(threat) if getattr(threat, f.name) == f.default}
    return defaults | dict(said)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))  # tuples become lists, as in a file


def _rows(dossier: Dossier) -> Finding:
    record = dossier.record
    if not record.rows:
        return Finding("rows", "unchecked", "they are not beside the record")
    values = array("q", [row.id for row in record.rows] + [row.label for row in record.rows])
    if hashlib.sha256(_little_endian(values)).hexdigest() != record.data.digest:
        return Finding("rows", "refuted", "ids and labels are not those whose digest the record gives")
    try:
        tried = images_tried(record, dossier.plan())
    except (UserError, ValueError):  # `_plan` says why
        tried = {}
    for key, images in tried.items():
        if wrong := images ^ {row.id for row in record.rows if key in row.predictions}:
            says = f"{key} was measured on other images than was sealed; {len(wrong)} are too many or missing"
            return Finding("rows", "refuted", says, tuple(sorted(wrong)))
    return Finding("rows", "confirmed", f"{len(record.rows)} ids and labels have the digest of the data")


def _little_endian(values: array[int]) -> bytes:
    if sys.byteorder == "big":
        values = array("q", values)
        values.byteswap()
    return values.tobytes()


def _ledger(dossier: Dossier) -> Finding:
    record = dossier.record
    if not record.of("attack"):
        return Finding("ledger", "confirmed", "no attack was tried, so there is none")
    try:
        plan = dossier.plan()
        header, rows = read_whole_ledger(dossier.ledger)
    except FileNotFoundError:
        return Finding("ledger", "unchecked", f"{dossier.ledger} is not there")
    except UserError as error:
        damaged = "damaged" in str(error) or "belongs to other work" in str(error)
        return Finding("ledger", "refuted" if damaged else "unchecked", str(error))
    assert record.seal is not None  # there is a plan
    other = other_work(header, record.seal, plan)
    if other:
        return Finding("ledger", "refuted", f"it belongs to other work: another {', another '.join(other)}")
    return check_rows_against(record, plan, rows)


def _kept(dossier: Dossier) -> Finding:
    missing, changed = [], []
    for kept in dossier.record.adversarial:
        path = dossier.directory / kept.file
        if not path.resolve().is_relative_to(dossier.directory.resolve()):
            return Finding("kept images", "refuted", f"{kept.file} lies outside the record's directory")
        if not path.is_file():
            missing.append(kept.file)
        elif file_digest(path) != kept.sha256:
            changed.append(kept.file)
    if changed:
        return Finding("kept images", "refuted", f"changed since they were written: {', '.join(changed)}")
    if missing:
        return Finding("kept images", "unchecked", f"not there: {', '.join(missing)}")
    files = dossier.record.adversarial
    size = sum(kept.bytes for kept in files) / 1e6
    images = sum(kept.images for kept in files)
    return Finding("kept images", "confirmed", f"{images} images as they were written, {size:.1f} MB")
