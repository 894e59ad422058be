"""What of a run travels when it is shared? The adapter's own files and its audits; no image, no path of a machine."""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from robustpeft.errors import UserError
from robustpeft.pet.files import CONFIG_FILE, WEIGHTS_FILE
from robustpeft.records import AuditRecord, Introduction, write_record
from robustpeft.records.store import RECORD_FILE, ROWS_FILE
from robustpeft.study.card import CARD_FILE, is_generated, model_card
from robustpeft.study.noted_audits import noted_audits
from robustpeft.study.private_paths import find_path, without_paths
from robustpeft.study.run_directory import SIDECAR_FILE, START_FILE, read_sidecar

__all__ = ["AUDITS", "TRAVELLING", "Parcel", "check_adapter", "pack"]

AUDITS = "audits"
"""Directory of the audit records, one directory each."""
TRAVELLING = (
    CONFIG_FILE,
    WEIGHTS_FILE,
    START_FILE,
    CARD_FILE,
    f"{AUDITS}/*/{RECORD_FILE}",
    f"{AUDITS}/*/{ROWS_FILE}",
    SIDECAR_FILE,
)
"""Everything that is ever sent or fetched; the sidecar last: a directory with it is complete."""

_PICTURES = ("gallery", "adversarial")  # fields of a record that hold images, or name files of them


@dataclass(frozen=True)
class Parcel:
    """One file on its way.

    Args:
        name: Its name in the repository, with ``/`` between directories.
        content: What is in it, or the file that is sent as it is.
    """

    name: str
    content: bytes | Path

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


def pack(run: Path, name: str, *, license_id: str | None = None, audits: Sequence[Path] = ()) -> list[Parcel]:
    """Return the files of a run that travel, the card written anew for its new name.

    Paths of this machine are cut down to their last part; pictures are left out of audit records, whose counts and rows
    stay whole.

    Args:
        run: Directory of a finished run.
        name: ``user/name``, as others will load it.
        license_id: Of the adapter, in the hub's words.
        audits: Records of it that lie outside of the run.

    Raises:
        UserError: If the run is not finished or damaged, or a path of this machine would be sent.
    """
    check_adapter(run)
    said: dict[str, Any] = read_sidecar(run)
    records = [_without_pictures(record) for record in noted_audits(run, said, audits)]
    said = without_paths(said)
    config = without_paths(json.loads((run / CONFIG_FILE).read_text(encoding="utf-8")))
    parcels = [Parcel(CONFIG_FILE, _json(config)), Parcel(WEIGHTS_FILE, run / WEIGHTS_FILE)]
    built = said["backbone"]
    if built is not None and built["weights"] == START_FILE:
        parcels.append(Parcel(START_FILE, run / START_FILE))  # frozen weights that no name can build
    parcels.append(Parcel(CARD_FILE, _card(run, said, records, name, license_id)))
    for record in records:
        parcels += _of_record(record)
    parcels.append(Parcel(SIDECAR_FILE, _json(said)))
    for parcel in parcels:
        _refuse_paths(parcel)
    return parcels


def check_adapter(directory: Path) -> None:
    """Raise unless the directory holds a whole run: sidecar, configuration, tensors in safetensors.

    Whether it fits its backbone is checked when it is loaded.

    Raises:
        UserError: Naming what is missing or damaged.
    """
    read_sidecar(directory)
    try:
        json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))["peft_type"]
        with safe_open(directory / WEIGHTS_FILE, framework="pt") as file:
            file.keys()
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"the adapter in {directory} is damaged ({type(error).__name__}: {error})") from error


def _card(run: Path, said: dict[str, Any], records: Sequence[AuditRecord], name: str, license_id: str | None) -> bytes:
    file = run / CARD_FILE
    written = file.read_text(encoding="utf-8") if file.is_file() else ""
    if written and not is_generated(written):
        if license_id is not None:
            raise UserError(
                f"{file} is in your own words, so say the license in its first lines: license: {license_id}"
            )
        return written.encode()
    return model_card(said, records, name=name, license_id=license_id).encode()


def _without_pictures(record: AuditRecord) -> AuditRecord:
    """Return a record without the images in its gallery and without paths in what is said about it."""
    pictures: dict[str, Any] = {field.name: () for field in dataclasses.fields(record) if field.name in _PICTURES}
    return dataclasses.replace(
        record,
        **pictures,
        command=without_paths(record.command),
        introduction=_introduced(record.introduction),
        data=dataclasses.replace(record.data, note=without_paths(record.data.note)),
        subject=dataclasses.replace(
            record.subject,
            label=without_paths(record.subject.label),
            tuning=without_paths(record.subject.tuning),
        ),
        checks=tuple(
            dataclasses.replace(check, evidence=without_paths(check.evidence), remedy=without_paths(check.remedy))
            for check in record.checks
        ),
    )


def _introduced(said: Introduction | None) -> Introduction | None:
    if said is None:
        return None
    findings = tuple(
        dataclasses.replace(
            each,
            value=without_paths(each.value),
            evidence=without_paths(each.evidence),
            option=without_paths(each.option),
        )
        for each in said.findings
    )
    return Introduction(without_paths(said.target), said.kind, findings, without_paths(said.command))


def _of_record(record: AuditRecord) -> list[Parcel]:
    folder = f"{AUDITS}/{re.sub(r'[^A-Za-z0-9._-]+', '-', f'{record.data.name}-{record.data.split}').strip('-.')}"
    with tempfile.TemporaryDirectory() as written:
        write_record(record, Path(written))  # as records are written everywhere, so that it can be verified
        files = {name: (Path(written) / name).read_bytes() for name in (RECORD_FILE, ROWS_FILE)}
    return [Parcel(f"{folder}/{name}", content) for name, content in files.items()]


def _refuse_paths(parcel: Parcel) -> None:
    if isinstance(parcel.content, bytes):
        text = parcel.content.decode("utf-8", errors="replace")
    else:
        with safe_open(parcel.content, framework="pt") as file:
            text = json.dumps(file.metadata() or {})
    found = find_path(text)
    if found:
        raise UserError(f"{parcel.name} would carry {found}, a path of this machine; take it out, then push again")


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
