"""Which records lie in the folders, and how do they read as rows? Sorted, filtered, and never shown before doubted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from robustpeft.app.lookup import walk
from robustpeft.errors import UserError, nearest_hint
from robustpeft.records import AuditRecord, Rate, read_record, read_study_record
from robustpeft.records.store import RECORD_FILE
from robustpeft.records.study_record import STUDY_FILE
from robustpeft.report.headline import Kind, headline
from robustpeft.report.wording import date_text, threat_text
from robustpeft.report.worst_case import main_threats, worst_case

__all__ = ["COLUMNS", "Column", "RecordRow", "Shelf", "filter_rows", "sort_rows"]

Column = Literal["model", "data", "threat", "clean", "robust", "n", "created", "study"]
COLUMNS: tuple[Column, ...] = get_args(Column)


@dataclass(frozen=True)
class RecordRow:
    """One audit.

    Args:
        key: Names it on the page.
        path: Its file.
        place: The same, as a person reads it.
        model: Label of the model.
        data: The data set.
        about: Split, size of the images, frozen network.
        n: Their number.
        threat: Norm and largest epsilon; empty if nothing was attacked.
        epsilon: That epsilon.
        clean: Accuracy without an attack; None if no number is given.
        robust: Accuracy in the worst case within the threat; None if there is none, or no number is given.
        kind: What may be said of it.
        sentence: What is said of it.
        created: Day.
        study: Its place in a study; empty if it belongs to none.
    """

    key: str
    path: Path
    place: str
    model: str
    data: str
    about: str
    n: int
    threat: str
    epsilon: float
    clean: Rate | None
    robust: Rate | None
    kind: Kind
    sentence: str
    created: str
    study: str = ""


class Shelf:
    """The records in some folders; a file is read again only when it has changed.

    Args:
        folders: Nothing outside them is read.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self.problems: tuple[str, ...] = ()
        self._read: dict[Path, tuple[tuple[int, int], RecordRow]] = {}
        self._rows: dict[str, RecordRow] = {}

    def rows(self) -> tuple[RecordRow, ...]:
        """Look into the folders and return one row per record; what cannot be read becomes one of the `problems`."""
        found: dict[str, RecordRow] = {}
        problems: list[str] = []
        studies = self._studies(problems)
        for folder in self.folders:
            for file in walk(folder, RECORD_FILE):
                try:
                    row = self._row(file, studies)
                except (UserError, OSError, KeyError) as error:
                    problems.append(str(error))
                    continue
                found.setdefault(row.key, row)
        self._rows, self.problems = found, tuple(dict.fromkeys(problems))
        return tuple(found.values())

    def record(self, key: str) -> AuditRecord:
        """Return the whole record of a row.

        Raises:
            UserError: If there is no row of this key, or it cannot be read any more.
        """
        return read_record(self.path(key))

    def path(self, key: str) -> Path:
        """Return the file of a row.

        Raises:
            UserError: If there is no row of this key.
        """
        if key not in self._rows:
            self.rows()
        if key not in self._rows:
            raise UserError("there is no such record here (any more)")
        return self._rows[key].path

    def _row(self, file: Path, studies: Mapping[Path, str]) -> RecordRow:
        stamp = file.stat()
        version = (stamp.st_mtime_ns, stamp.st_size)
        known = self._read.get(file)
        if known is None or known[0] != version:
            known = version, record_row(file, read_record(file), studies.get(file.parent.resolve(), ""))
            self._read[file] = known
        return known[1]

    def _studies(self, problems: list[str]) -> dict[Path, str]:
        """Return, for every directory of a judged run of a study, where in the study it belongs."""
        places: dict[Path, str] = {}
        for file in (file for folder in self.folders for file in walk(folder, STUDY_FILE)):
            try:
                study = read_study_record(file)
            except UserError as error:
                problems.append(str(error))
                continue
            store = Path(os.path.normpath(study.directory / study.store)).resolve()
            for arm in study.arms:
                for run in arm.whole:
                    places[store / run.identity] = f"{study.name}: {arm.grid}, {arm.label}, seed {run.seed}"
        return places


def record_row(file: Path, record: AuditRecord, study: str = "") -> RecordRow:
    """Return the row of a record; one of which a check of integrity failed shows no number."""
    said = headline(record)
    threats = main_threats([record]) if record.of("attack") else ()
    case = worst_case(record, threats[0]) if threats else None
    withheld = said.kind == "refused"
    height, width = record.data.image_size
    return RecordRow(
        key=hashlib.sha256(os.fsencode(file.resolve())).hexdigest()[:16],
        path=file,
        place=str(file.parent),
        model=record.subject.label,
        data=record.data.name,
        about=f"{record.data.split}, {height} x {width} pixels, {record.subject.backbone}",
        n=record.data.n,
        threat=threat_text(threats[0].norm, threats[0].epsilon) if threats else "",
        epsilon=threats[0].epsilon if threats else 0.0,
        clean=None if withheld else record["clean"].correct,
        robust=None if withheld or case is None else case.correct,
        kind=said.kind,
        sentence=said.sentence,
        created=date_text(record),
        study=study,
    )


def filter_rows(rows: Iterable[RecordRow], text: str) -> tuple[RecordRow, ...]:
    """Return the rows in which every word of `text` occurs somewhere, in any case."""
    words = text.casefold().split()
    return tuple(row for row in rows if all(word in _searched(row) for word in words))


def sort_rows(rows: Iterable[RecordRow], column: str, *, descending: bool = False) -> tuple[RecordRow, ...]:
    """Return the rows in the order of a column; those that have nothing there come last, either way.

    Raises:
        UserError: If there is no such column.
    """
    if column not in COLUMNS:
        raise UserError(f"there is no column {column!r}; {nearest_hint(str(column), COLUMNS)}")
    listed = list(rows)
    having = [row for row in listed if _rank(row, column) is not None]
    lacking = [row for row in listed if _rank(row, column) is None]
    return (*sorted(having, key=lambda row: _rank(row, column) or (0.0, ""), reverse=descending), *lacking)


def _rank(row: RecordRow, column: str) -> tuple[float, str] | None:
    if column in ("clean", "robust"):
        rate = row.clean if column == "clean" else row.robust
        return None if rate is None or rate.n == 0 else (rate.fraction, "")
    if column == "n":
        return float(row.n), ""
    if column == "threat":
        return (row.epsilon, row.threat) if row.threat else None
    text = str(getattr(row, column)).casefold()
    return (0.0, text) if text and text != "-" else None


def _searched(row: RecordRow) -> str:
    parts = (row.model, row.data, row.about, row.threat, row.kind, row.place, row.created, row.study)
    return " ".join(parts).casefold()
