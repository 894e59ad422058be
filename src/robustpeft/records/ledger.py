"""What did every attack do to every image? One append-only, checksummed line per image, stage and run.

A directory holds one segment per process, ``segment-<i>-of-<n>.jsonl``. Its first line says what was attacked and how;
every other line is a `LedgerRow`. A line ends with the CRC-32 of what stands before it, so a line that a crash left
half written is recognised; it can only be the last one, and is cut off when the segment is opened again.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import logging
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from robustpeft.errors import UserError

__all__ = [
    "LedgerRow",
    "LedgerSegment",
    "OtherWorkError",
    "compact_ledger",
    "read_ledger",
    "read_parquet",
    "write_parquet",
]

_log = logging.getLogger(__name__)

FORMAT = 1
PARQUET_FILE = "ledger.parquet"


class OtherWorkError(UserError):
    """A segment that is there was written by other work than what is to be written into it."""


@dataclass(frozen=True)
class LedgerRow:
    """What one run of one search did to one image.

    Args:
        image: The image's id.
        stage: Key of the stage: ``clean``, or a number, an attack and a threat.
        run: Restart or target class; 0 for the clean image.
        broken: The judge found it misclassified.
        step: Pass of the run, from 1, whose point broke it; 0 if none did, or if no pass was needed.
        prediction: Class that the judge saw there; of the clean image where nothing was found.
        margin: Largest wrong logit minus that of the label: the judge's where broken, else the largest that was seen.
        norm: Size of the perturbation that broke it, in the norm of the threat; 0 where nothing was found.
        forwards: Forward passes spent on it.
        backwards: Backward passes.
        seconds: Its share of the wall time.
        extra: What the writer must find again, for example the clean logits.
    """

    image: int
    stage: str
    run: int
    broken: bool
    step: int
    prediction: int
    margin: float
    norm: float = 0.0
    forwards: int = 0
    backwards: int = 0
    seconds: float = 0.0
    extra: str = ""

    @property
    def key(self) -> tuple[str, int, int]:
        """What the row is about: stage, image, run."""
        return self.stage, self.image, self.run


class LedgerSegment:
    """The segment of one process, open for appending and locked against others.

    Args:
        directory: Made if need be.
        shard: (i, n): this is the i-th of n processes.
        header: What is attacked and how; must equal that of the segment if there is one.

    Raises:
        OtherWorkError: If the segment is of other work.
        UserError: If it is damaged, or being written by another process.
    """

    def __init__(self, directory: Path, shard: tuple[int, int], header: Mapping[str, Any]) -> None:
        self.path = directory / f"segment-{shard[0]}-of-{shard[1]}.jsonl"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _check_shards(directory, shard[1])
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UserError(f"no ledger can be kept in {directory} ({error.strerror})") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise UserError(f"{self.path} is being written by another process") from None
        try:
            self.rows = self._recover({"format": FORMAT, "shard": list(shard), **header})
        except BaseException:
            self.close()
            raise

    def append(self, rows: Iterable[LedgerRow]) -> None:
        """Write rows; once this returns, a kill of the process does not lose them.

        Raises:
            UserError: If they cannot be written, for example on a full disk; what was there stays readable.
        """
        added = list(rows)
        self._write("".join(_line(dataclasses.asdict(row)) for row in added))
        self.rows.extend(added)

    def close(self) -> None:
        """Give the segment back."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _recover(self, header: dict[str, Any]) -> list[LedgerRow]:
        plain, length = _parse(self.path)
        if length < os.fstat(self._file).st_size:
            _log.warning("%s ended in a half-written line, which is cut off", self.path)
            os.ftruncate(self._file, length)
        if not plain:
            self._write(_line(header))
            return []
        _check_header(self.path, plain[0], json.loads(json.dumps(header)))
        return [_row(self.path, number, line) for number, line in enumerate(plain[1:], start=2)]

    def _write(self, text: str) -> None:
        data = text.encode()
        size = os.fstat(self._file).st_size
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            os.ftruncate(self._file, size)  # no half line between this row and the next
            raise UserError(f"{self.path} cannot be written ({error.strerror}); what was found so far stays") from error


def read_ledger(directory: Path) -> tuple[dict[str, Any], list[LedgerRow]]:
    """Return the header and all rows of a ledger, in the order of stage, image, run.

    Raises:
        UserError: If there is none, its segments are of different work, or a line is damaged.
    """
    paths = sorted(directory.glob("segment-*.jsonl"))
    if not paths:
        raise UserError(f"no ledger in {directory}: there is no segment-*.jsonl")
    header: dict[str, Any] = {}
    rows: dict[tuple[str, int, int], LedgerRow] = {}
    for path in paths:
        plain, _ = _parse(path)
        if not plain:
            continue
        mine = {key: value for key, value in plain[0].items() if key != "shard"}
        if header and mine != header:
            _check_header(path, mine, header)
        header = mine
        for number, line in enumerate(plain[1:], start=2):
            row = _row(path, number, line)
            rows[row.key] = row
    return header, sorted(rows.values(), key=lambda row: row.key)


def write_parquet(header: Mapping[str, Any], rows: Sequence[LedgerRow], path: Path) -> None:
    """Write a finished ledger as one Parquet table, a column per field, the header in its metadata; atomic."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {field.name: [getattr(row, field.name) for row in rows] for field in dataclasses.fields(LedgerRow)}
    table = pa.table(columns).replace_schema_metadata({"robustpeft": json.dumps(header)})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        pq.write_table(table, temporary, compression="zstd")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_parquet(path: Path) -> tuple[dict[str, Any], list[LedgerRow]]:
    """Return the header and the rows that `write_parquet` wrote.

    Raises:
        UserError: If the file is none of these.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        header = json.loads(table.schema.metadata[b"robustpeft"])
        return header, [LedgerRow(**plain) for plain in table.to_pylist()]
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no ledger in Parquet ({error})") from error


def compact_ledger(directory: Path) -> Path:
    """Write all segments of a ledger as ``ledger.parquet`` beside them, and return its path; the segments stay.

    Raises:
        UserError: If they are not those of one ledger, or the file cannot be written.
    """
    header, rows = read_ledger(directory)
    path = directory / PARQUET_FILE
    try:
        write_parquet(header, rows, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error}); the segments beside it stay") from error
    return path


def _line(plain: dict[str, Any]) -> str:
    text = json.dumps(plain, separators=(",", ":"))
    return f"{text}\t{zlib.crc32(text.encode()):08x}\n"


def _parse(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the sound lines and the number of bytes they take; only the last line may be unsound."""
    data = path.read_bytes()
    lines = data.split(b"\n")
    plain: list[dict[str, Any]] = []
    length = 0
    for number, line in enumerate(lines[:-1], start=1):
        text, _, checksum = line.rpartition(b"\t")
        if checksum != f"{zlib.crc32(text):08x}".encode():
            if number == len(lines) - 1 and not lines[-1]:  # a crash of the machine may keep the end of a line alone
                break
            raise UserError(f"{path} is damaged in line {number}: its checksum does not fit")
        plain.append(json.loads(text))
        length += len(line) + 1
    return plain, length


def _row(path: Path, number: int, plain: dict[str, Any]) -> LedgerRow:
    try:
        return LedgerRow(**plain)
    except TypeError as error:
        raise UserError(f"{path} line {number} is no row of a ledger ({error})") from error


def _check_header(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for where, there, here in _differences(found, wanted):
        raise OtherWorkError(
            f"{path} belongs to other work: its {where} is {_short(there)}, now it is {_short(here)}; give another "
            "directory, or delete this one"
        )


def _differences(found: Any, wanted: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        pairs = [(key, found.get(key), wanted.get(key)) for key in sorted(found.keys() | wanted.keys())]
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = [(str(place), *both) for place, both in enumerate(zip(found, wanted, strict=True))]
    else:
        if found != wanted:
            yield where, found, wanted
        return
    for key, there, here in pairs:
        yield from _differences(there, here, f"{where}.{key}" if where else key)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_shards(directory: Path, count: int) -> None:
    for path in directory.glob("segment-*-of-*.jsonl"):
        found = path.stem.rpartition("-")[2]
        if found != str(count):
            raise UserError(f"{directory} was begun with {found} processes; {count} would share the images otherwise")
