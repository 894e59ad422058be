"""Which audit records does a run vouch for? Those whose counts it noted, of its own adapter, wherever they lie."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustpeft.errors import UserError
from robustpeft.records import AuditRecord, read_record
from robustpeft.records.store import RECORD_FILE

__all__ = ["audit_summary", "noted_audits"]

_log = logging.getLogger(__name__)
_DEPTH = 3  # RUN/audit/MODEL/audit.json


def audit_summary(record: AuditRecord) -> dict[str, Any]:
    """Return what a run notes of an audit of it."""
    return {
        "n": record.data.n,
        "digest": record.data.digest,
        "created": record.created,
        "correct": {measurement.key: measurement.correct.count for measurement in record.measurements},
    }


def noted_audits(run: Path, said: dict[str, Any], others: Sequence[Path] = ()) -> list[AuditRecord]:
    """Return the records of the audits that a run noted, in the order in which it noted them.

    Args:
        run: Directory of the run.
        said: Its sidecar.
        others: Records that lie elsewhere: files, or directories that hold them.

    Raises:
        UserError: If one of `others` cannot be read, or is not of this adapter as the run noted it.
    """
    noted: dict[str, Any] = said.get("audits", {})
    found: dict[str, AuditRecord] = {}
    for path in others:
        record = read_record(path)
        if not _belongs(record, said):
            raise UserError(f"{path} is not an audit that {run} noted: of another model, other images or other counts")
        found[_key(record)] = record
    patterns = ["/".join(["*"] * depth + [RECORD_FILE]) for depth in range(_DEPTH)]
    for file in sorted(file for pattern in patterns for file in run.glob(pattern)):
        try:
            record = read_record(file)
        except UserError as error:
            _log.warning("%s", error)
            continue
        if _key(record) not in found and _belongs(record, said):
            found[_key(record)] = record
    for key in noted.keys() - found.keys():
        _log.info("%s noted an audit of %s, whose record is not there; its numbers are left out", run.name, key)
    return [found[key] for key in noted if key in found]


def _key(record: AuditRecord) -> str:
    return f"{record.data.name}/{record.data.split}"


def _belongs(record: AuditRecord, said: dict[str, Any]) -> bool:
    return (
        said.get("audits", {}).get(_key(record)) == audit_summary(record)
        and record.subject.backbone_digest == said.get("backbone_digest")
        and record.subject.method == said.get("method")
    )
