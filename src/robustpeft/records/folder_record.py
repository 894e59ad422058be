"""What does a model say of a folder of images, and what did those who filled it write down?"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustpeft.errors import UserError
from robustpeft.records.audit_record import Subject
from robustpeft.records.contained import contained
from robustpeft.records.paired_rates import Paired
from robustpeft.records.rate import Rate
from robustpeft.records.store import write_json

__all__ = ["MANIFEST_FILE", "FolderRecord", "FolderRow", "read_manifest", "write_folder_record"]

FOLDER_VERSION = 1
MANIFEST_VERSION = 1
MANIFEST_FILE = "manifest.json"
FOLDER_FILE = "folder_audit.json"


@dataclass(frozen=True)
class FolderRow:
    """What the model says of one image.

    Args:
        file: Relative to the folder.
        label: True class.
        prediction: Of the file, which has eight bits.
        exact_prediction: Of the float32 image that the file was rounded from; None if it is not there.
    """

    file: str
    label: int
    prediction: int
    exact_prediction: int | None = None


@dataclass(frozen=True)
class FolderRecord:
    """The answers of one model to the images of one folder, none of them attacked by us now.

    Args:
        subject: The model.
        folder: As it was given.
        classes: Class names, label i is entry i.
        rows: One per image; every count follows from them.
        manifest: What lies in the folder about how it was made: attack, threat, source, seed; None if nothing does.
        note: What a reader must know, for example that images were resized.
        command: The command that gives the record again.
        created: Time of completion, ISO 8601 in UTC.
        environment: Versions, device, threads.
        schema_version: Version of this layout.
    """

    subject: Subject
    folder: str
    classes: tuple[str, ...]
    rows: tuple[FolderRow, ...]
    manifest: dict[str, Any] | None = None
    note: str = ""
    command: str = ""
    created: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    schema_version: int = FOLDER_VERSION

    @property
    def stored(self) -> Rate:
        """Files classified correctly."""
        return Rate(sum(row.prediction == row.label for row in self.rows), len(self.rows))

    @property
    def exact(self) -> Rate | None:
        """Float32 images classified correctly; None unless all are there."""
        if not self.rows or any(row.exact_prediction is None for row in self.rows):
            return None
        return Rate(sum(row.exact_prediction == row.label for row in self.rows), len(self.rows))

    @property
    def rounding(self) -> Paired | None:
        """Files right where the float32 image is wrong, and the other way round; None without float32 images."""
        if self.exact is None:
            return None
        return Paired.of((row.prediction == row.label, row.exact_prediction == row.label) for row in self.rows)

    @property
    def per_class(self) -> tuple[Rate, ...]:
        """Files classified correctly of each class."""
        of_class = [[row for row in self.rows if row.label == label] for label in range(len(self.classes))]
        return tuple(Rate(sum(row.prediction == row.label for row in rows), len(rows)) for rows in of_class)


def write_folder_record(record: FolderRecord, directory: Path) -> Path:
    """Write a record into `directory`, its counts in the open; return its path."""
    exact = record.exact
    counts = {"n": len(record.rows), "stored": record.stored.count, "exact": None if exact is None else exact.count}
    write_json(directory / FOLDER_FILE, dataclasses.asdict(record) | {"counts": counts})
    return directory / FOLDER_FILE


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return what lies in a folder about how its images were made; None if nothing does.

    Raises:
        UserError: If it cannot be read, is of another version, or names a file outside the folder.
    """
    file = folder / MANIFEST_FILE
    if not file.is_file():
        return None
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        version, images = said["manifest_version"], said["images"]
        whole = all({"file", "label", "id"} <= entry.keys() for entry in images)
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is no manifest of saved images ({type(error).__name__}: {error})") from error
    if version != MANIFEST_VERSION or not whole:
        raise UserError(f"{file} has manifest version {version}; this version of robustpeft reads {MANIFEST_VERSION}")
    for name in (*(str(entry["file"]) for entry in images), *map(str, said.get("tensors") or ())):
        contained(folder, name)  # a manifest may come from anywhere, and its files are read
    return dict(said)
