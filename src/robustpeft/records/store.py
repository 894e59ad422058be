"""How does a record lie on disk? As ``audit.json`` with one line per image in ``audit_images.jsonl`` beside it.

Digests of both stand in the first, so that a change of any figure, by hand or by a failing disk, is noticed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from robustpeft.errors import UserError
from robustpeft.records.audit_record import (
    SCHEMA_VERSION,
    AuditRecord,
    GalleryItem,
    ImageRow,
    Measurement,
    Subject,
    data_info_from,
)
from robustpeft.records.check import Check
from robustpeft.records.introduction import introduction_from
from robustpeft.records.ladder import attacker_ladder
from robustpeft.records.minimal_search import MinimalSearch
from robustpeft.records.rate import Rate
from robustpeft.records.seal import KeptFile, Seal, canonical_digest

__all__ = ["read_doubtful_record", "read_record", "write_json", "write_record", "write_text"]

RECORD_FILE = "audit.json"
ROWS_FILE = "audit_images.jsonl"
_READABLE = (1, 2, SCHEMA_VERSION)  # records of version 1 had no checks, those of version 2 no seal and no digests
_WITH_DIGESTS = 3


def write_text(path: Path, text: str) -> None:
    """Write a file so that a crash leaves either the old or the new content, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")  # names of files need not be UTF-8
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)  # only there if one of the two failed


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity are refused."""
    write_text(path, _json(value))


def write_record(record: AuditRecord, directory: Path) -> Path:
    """Write a record into `directory` and return the path of its JSON file."""
    plain = record.as_dict()
    rows = plain.pop("rows")
    plain["ladder"] = [dataclasses.asdict(rung) for rung in attacker_ladder(record)]  # for readers; made anew when read
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    digests = {"record": _digest(plain), "rows": hashlib.sha256(lines.encode()).hexdigest()}
    text = _json(plain | {"digests": digests})  # refuses NaN before anything is replaced
    write_text(directory / ROWS_FILE, lines)
    write_text(directory / RECORD_FILE, text)
    return directory / RECORD_FILE


def read_record(path: Path) -> AuditRecord:
    """Return the record in a directory or ``audit.json`` file.

    Raises:
        UserError: If there is none, it is of another version or damaged, its counts contradict its rows, or it was
            changed since it was written.
    """
    record, doubts = read_doubtful_record(path)
    if doubts:
        raise UserError(f"{path / RECORD_FILE if path.is_dir() else path}: {doubts[0]}")
    return record


def read_doubtful_record(path: Path) -> tuple[AuditRecord, tuple[str, ...]]:
    """Return a record and what speaks against it: counts that contradict its rows, digests that do not fit.

    Raises:
        UserError: If there is none, or it is of another version or damaged.
    """
    file = path / RECORD_FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"no audit record at {path}: expected a directory with {RECORD_FILE}, or that file")
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        version = plain["schema_version"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{file} is not an audit record ({type(error).__name__}: {error})") from error
    if version not in _READABLE:
        raise UserError(f"{file} has record version {version}; this version of robustpeft reads {SCHEMA_VERSION}")
    rows_file = file.with_name(ROWS_FILE)
    try:
        text = rows_file.read_text(encoding="utf-8") if rows_file.is_file() else None
        digests = plain.pop("digests") if version >= _WITH_DIGESTS else None
        record = _record(plain, [json.loads(line) for line in (text or "").splitlines()])
        found = (_contradiction(record), None if digests is None else _change(plain, text, digests))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is damaged ({type(error).__name__}: {error})") from error
    return record, tuple(doubt for doubt in found if doubt)


def _change(plain: dict[str, Any], rows: str | None, digests: dict[str, str]) -> str | None:
    """Return which of the two files is not what was written; None if both are. Without rows only the first is asked."""
    if rows is not None and hashlib.sha256(rows.encode()).hexdigest() != digests["rows"]:
        return f"{ROWS_FILE} beside it was changed since it was written: its digest is another one"
    if _digest(plain) != digests["record"]:
        return "it was changed since it was written: its digest is another one"
    return None


def _digest(plain: dict[str, Any]) -> str:
    return canonical_digest(json.loads(json.dumps(plain, allow_nan=False)))  # as it is read: integer keys become text


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def _record(plain: dict[str, Any], rows: list[dict[str, Any]]) -> AuditRecord:
    return AuditRecord(
        **{
            **{key: value for key, value in plain.items() if key != "ladder"},
            "subject": Subject(**plain["subject"]),
            "data": data_info_from(plain["data"]),
            "measurements": tuple(_measurement(m) for m in plain["measurements"]),
            "gallery": tuple(GalleryItem(**item) for item in plain["gallery"]),
            "rows": tuple(ImageRow(**row) for row in rows),
            "checks": tuple(Check(**check) for check in plain.get("checks", ())),
            "seal": None if plain.get("seal") is None else _seal(plain["seal"]),
            "adversarial": tuple(KeptFile(**kept) for kept in plain.get("adversarial", ())),
            "introduction": introduction_from(plain.get("introduction")),
            "minimal": MinimalSearch(**plain["minimal"]) if plain.get("minimal") else None,
            "schema_version": SCHEMA_VERSION,
        }
    )


def _measurement(plain: dict[str, Any]) -> Measurement:
    per_class = tuple(Rate(**rate) for rate in plain["per_class"])
    return Measurement(**{**plain, "correct": Rate(**plain["correct"]), "per_class": per_class})


def _seal(plain: dict[str, Any]) -> Seal:
    return Seal(**{**plain, "image_size": tuple(plain["image_size"]), "classes": tuple(plain["classes"])})


def _contradiction(record: AuditRecord) -> str | None:
    """Return the first count that does not follow from the rows; None if all do, or there are no rows."""
    if not record.rows:
        return None
    for measurement in record.measurements:
        tried = [row for row in record.rows if measurement.key in row.predictions]
        in_part = measurement.kind == "attack" and measurement.queries is not None and len(tried) > 0
        if len(tried) < len(record.rows) and not in_part:
            left_out = len(record.rows) - len(tried)
            return f"{ROWS_FILE} says nothing of {measurement.key} for {left_out} images; it was changed"
        hits = [row for row in tried if row.stands(measurement.key)]
        correct = Rate(len(hits), len(tried))
        if measurement.correct != correct:
            return _disagreement(measurement.key, measurement.correct, correct)
        for label, counted in enumerate(measurement.per_class):
            correct = Rate(sum(row.label == label for row in hits), sum(row.label == label for row in tried))
            if counted != correct:
                return _disagreement(f"class {label} of {measurement.key}", counted, correct)
    return None


def _disagreement(what: str, counted: Rate, correct: Rate) -> str:
    return (
        f"{what} says {counted.count} of {counted.n} correct, but {ROWS_FILE} says {correct.count} of {correct.n}; "
        "one of the two files was changed"
    )
