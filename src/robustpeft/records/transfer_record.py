"""Does an image made against one model fool another? Every source against every target, on the same images."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustpeft.errors import UserError
from robustpeft.records.audit_record import DataInfo, Subject, data_info_from
from robustpeft.records.paired_rates import Paired
from robustpeft.records.rate import Rate
from robustpeft.records.store import write_json, write_text

__all__ = ["TransferRecord", "TransferRow", "read_transfer", "write_transfer"]

TRANSFER_VERSION = 1
TRANSFER_FILE = "transfer.json"
ROWS_FILE = "transfer_images.jsonl"


@dataclass(frozen=True)
class TransferRow:
    """What became of one image.

    Args:
        id: The image's id in its data set.
        label: Its true class.
        clean: Class predicted for the image as it is, by each model.
        attacked: ``attacked[s][t]``: class that model t predicts for the image made against model s.
    """

    id: int
    label: int
    clean: tuple[int, ...]
    attacked: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class TransferRecord:
    """A matrix of sources and targets; the diagonal is the attack with full knowledge of the target.

    Args:
        subjects: The models; sources and targets are numbered as they stand here.
        data: The images.
        attack: Its name and fields.
        threat: ``{"norm": ..., "epsilon": ...}``.
        rows: One per image; every count follows from them.
        seed: Of all randomness.
        command: The command that gives the record again.
        created: Time of completion, ISO 8601 in UTC.
        environment: Versions, device, threads.
        schema_version: Version of this layout.
    """

    subjects: tuple[Subject, ...]
    data: DataInfo
    attack: dict[str, Any]
    threat: dict[str, Any]
    rows: tuple[TransferRow, ...]
    seed: int = 0
    command: str = ""
    created: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    schema_version: int = TRANSFER_VERSION

    def clean(self, target: int) -> Rate:
        """Return the images that the target gets right as they are, of all images."""
        return Rate(sum(row.clean[target] == row.label for row in self.rows), len(self.rows))

    def kept(self, source: int, target: int) -> Rate:
        """Return the images that the target gets right as they are and attacked on the source, of all images."""
        return Rate(sum(self._kept(source, target)), len(self.rows))

    def fooled(self, source: int, target: int) -> Rate:
        """Return the images that turned the target, of those that it gets right as they are."""
        clean = self.clean(target).count
        return Rate(clean - self.kept(source, target).count, clean)

    def against_full_knowledge(self, source: int, target: int) -> Paired:
        """Return how much the attack loses when it is made on the source instead of on the target, image by image.

        The first answer is whether the target withstood the transferred image, the second whether it withstood the one
        made against itself; the difference is what the attacker's ignorance is worth.
        """
        return Paired.of(zip(self._kept(source, target), self._kept(target, target), strict=True))

    def between_targets(self, source: int, one: int, other: int) -> Paired:
        """Return how two targets differ on the very same adversarial images, made against the source."""
        return Paired.of(zip(self._kept(source, one), self._kept(source, other), strict=True))

    def _kept(self, source: int, target: int) -> Iterator[bool]:
        return (row.clean[target] == row.label == row.attacked[source][target] for row in self.rows)

    def counts(self) -> dict[str, Any]:
        """Return n and the counts of `clean` and `kept`, sources in rows."""
        numbers = range(len(self.subjects))
        return {
            "n": len(self.rows),
            "clean": [self.clean(target).count for target in numbers],
            "kept": [[self.kept(source, target).count for target in numbers] for source in numbers],
        }


def write_transfer(record: TransferRecord, directory: Path) -> Path:
    """Write a record into `directory`, its counts in the open and one line per image beside it; return its path."""
    plain = dataclasses.asdict(record)
    rows = plain.pop("rows")
    write_text(directory / ROWS_FILE, "".join(json.dumps(row) + "\n" for row in rows))
    write_json(directory / TRANSFER_FILE, plain | {"counts": record.counts()})
    return directory / TRANSFER_FILE


def read_transfer(path: Path) -> TransferRecord:
    """Return the record in a directory or ``transfer.json`` file.

    Raises:
        UserError: If there is none, it is of another version or damaged, or its counts contradict its rows.
    """
    file = path / TRANSFER_FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"no transfer record at {path}: expected a directory with {TRANSFER_FILE}, or that file")
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        version, counts = plain["schema_version"], plain.pop("counts")
        lines = file.with_name(ROWS_FILE).read_text(encoding="utf-8").splitlines()
        record = _record(plain, [json.loads(line) for line in lines]) if version == TRANSFER_VERSION else None
        found = counts if record is None else record.counts()
    except (OSError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is damaged ({type(error).__name__}: {error})") from error
    if record is None:
        raise UserError(f"{file} has record version {version}; this version of robustpeft reads {TRANSFER_VERSION}")
    if found != counts:
        raise UserError(f"{file}: its counts do not follow from {ROWS_FILE}; one of the two files was changed")
    return record


def _record(plain: dict[str, Any], rows: list[dict[str, Any]]) -> TransferRecord:
    return TransferRecord(
        **{
            **plain,
            "subjects": tuple(Subject(**subject) for subject in plain["subjects"]),
            "data": data_info_from(plain["data"]),
            "rows": tuple(
                TransferRow(row["id"], row["label"], tuple(row["clean"]), tuple(map(tuple, row["attacked"])))
                for row in rows
            ),
        }
    )
