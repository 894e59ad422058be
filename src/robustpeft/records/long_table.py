"""What was measured, as one long table? One row per model and condition, ready for a data frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustpeft.errors import UserError
from robustpeft.records.audit_record import AuditRecord
from robustpeft.records.store import RECORD_FILE, read_record
from robustpeft.records.study_record import STUDY_FILE, StudyRecord, read_study_record

__all__ = ["read_records"]


def read_records(path: str | Path) -> list[dict[str, Any]]:
    """Return one row per judged model and condition; ``pandas.DataFrame(rows)`` makes a data frame of them.

    Accuracies are shares in [0, 1], with the 95 % Wilson interval over images as `low` and `high`.

    Args:
        path: A study's directory, or any directory in which records of audits lie.

    Raises:
        UserError: If there is nothing of the kind.
    """
    folder = Path(path)
    if (folder / STUDY_FILE).is_file():
        return study_rows(read_study_record(folder))
    found = [folder] if folder.is_file() else sorted(folder.rglob(RECORD_FILE))
    if not found:
        raise UserError(f"no study and no audit record under {folder}")
    return [row for file in found for row in _rows(read_record(file), {"directory": str(file.parent)})]


def study_rows(study: StudyRecord) -> list[dict[str, Any]]:
    """Return the rows of a study, with the place of every run in it."""
    rows = []
    for arm in study.arms:
        for run in arm.whole:
            place = {
                "study": study.name,
                "scale": study.scale,
                "grid": arm.grid,
                "arm": arm.label,
                "group": arm.group,
                **{f"axis.{axis}": label for axis, label in arm.coordinates.items()},
                "seed": run.seed,
                "identity": run.identity,
                **{f"chosen.{key}": value for key, value in (arm.chosen or {}).items()},
            }
            rows += _rows(study.audit(run), place)
    return rows


def _rows(record: AuditRecord, place: dict[str, Any]) -> list[dict[str, Any]]:
    subject, rows = record.subject, []
    for measurement in record.measurements:
        low, high = measurement.correct.interval()
        rows.append(
            {
                "arm": subject.label,
                "seed": subject.tuning.get("seed"),
                **place,
                "backbone": subject.backbone,
                "data": record.data.name,
                "split": record.data.split,
                "method": (subject.method or {}).get("name"),
                "objective": (subject.objective or {}).get("name"),
                "num_trained": subject.num_trained,
                "num_trained_head": subject.num_trained_head,
                "num_parameters": subject.num_parameters,
                "key": measurement.key,
                "kind": measurement.kind,
                "name": measurement.name,
                "norm": (measurement.threat or {}).get("norm"),
                "strength": measurement.strength,
                "correct": measurement.correct.count,
                "n": measurement.correct.n,
                "accuracy": measurement.correct.fraction,
                "low": low,
                "high": high,
            }
        )
    return rows
