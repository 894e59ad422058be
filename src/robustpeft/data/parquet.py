"""How do Parquet files become a data set? By a column of encoded images and one of labels."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from robustpeft.data.decoding import open_image
from robustpeft.data.duplicates import duplicate_warnings
from robustpeft.data.identity import ids_of_contents
from robustpeft.data.image_data import DataSource, ImageData
from robustpeft.data.partition import complete
from robustpeft.data.reading import read_images
from robustpeft.data.resizing import ImageSize, as_size, describe
from robustpeft.data.split import Split
from robustpeft.errors import UserError, nearest_hint
from robustpeft.types import check_labels

__all__ = ["Parquet"]


@dataclass(frozen=True)
class Parquet(DataSource):
    """Parquet files with encoded images (bytes, or the struct of bytes and path that Hugging Face writes) and labels.

    An image's id is a hash of its encoded bytes, the same however the rows are sharded or ordered. The encoded bytes
    stay in memory.

    Args:
        train: A file, a pattern such as ``train-*.parquet``, or several of either; None if there is nothing to tune on.
        validation: Likewise; None to take 15 % of train, stratified.
        test: Likewise; None to take 20 % of train, stratified.
        classes: Class names; None to read them from the metadata (``classes``, one a line, or Hugging Face's features),
            or else to call them by their numbers.
        columns: Names of the image column and of the label column.
        seed: Seed of a split that has to be made.
        skip_broken: Leave unreadable images out, with a warning, instead of raising.
    """

    train: str | tuple[str, ...] | None = None
    validation: str | tuple[str, ...] | None = None
    test: str | tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    columns: tuple[str, str] = ("image", "label")
    seed: int = 0
    skip_broken: bool = False

    def load(self, image_size: ImageSize = None) -> ImageData:
        """Return the data set.

        Raises:
            UserError: If a file or column is missing, a label is out of range, class names disagree, an image cannot be
                read, a class is too small to split, or images differ in size and no size was asked for.
        """
        given = {"train": self.train, "validation": self.validation, "test": self.test}
        tables = {name: _Table.read(_files(files), self.columns) for name, files in given.items() if files}
        if not tables:
            raise UserError("Parquet needs the files of at least one of train, validation and test")
        classes, note = self._classes(list(tables.values()))
        size = as_size(image_size)
        splits: dict[str, Split] = {}
        warnings: tuple[str, ...] = ()
        for name, table in tables.items():
            splits[name], skipped = table.split(size, self.skip_broken)
            warnings += skipped
        train, validation, test = complete(
            splits.get("train"), splits.get("validation"), splits.get("test"), seed=self.seed
        )
        warnings += duplicate_warnings({"train": train, "validation": validation, "test": test})
        name = next(iter(tables.values())).files[0].stem
        return ImageData(name, classes, train, validation, test, note, describe(size), warnings)

    def _classes(self, tables: Sequence[_Table]) -> tuple[tuple[str, ...], str]:
        """Return the class names, and what is to be said about them."""
        stored = {table.classes: table.files[0] for table in tables if table.classes}
        if len(stored) > 1:
            first, second = list(stored.values())[:2]
            raise UserError(f"{first} and {second} have different class names in their metadata")
        found = next(iter(stored), ())
        if self.classes is not None:
            if found and len(found) != len(self.classes):
                raise UserError(f"{len(self.classes)} class names were given, but the files name {len(found)} classes")
            found = tuple(self.classes)
        if not found:
            count = 1 + max(int(table.labels.max()) for table in tables)
            return tuple(map(str, range(count))), "the files have no class names; classes are called by their numbers"
        for table in tables:
            try:
                check_labels(table.labels, num_classes=len(found))
            except UserError as error:
                raise UserError(f"{table.files[0]}: {error}, as there are {len(found)} class names") from error
        return found, ""


@dataclass(frozen=True, eq=False)
class _Table:
    """The rows of some files, images still encoded."""

    files: tuple[Path, ...]
    names: list[str]
    contents: list[memoryview]
    labels: Tensor
    classes: tuple[str, ...]

    @classmethod
    def read(cls, files: tuple[Path, ...], columns: tuple[str, str]) -> _Table:
        contents: list[memoryview] = []
        labels: list[int] = []
        rows: list[str] = []
        names: dict[tuple[str, ...], Path] = {}
        for file in files:
            table = _read(file, columns)
            contents += _contents(table[columns[0]], file, columns[0])
            labels += _labels(table[columns[1]], file, columns[1])
            rows += [f"{file.name}, row {i}" for i in range(len(table))]
            names.setdefault(_class_names(table.schema.metadata or {}, columns[1], file), file)
        if len(names) > 1:
            raise UserError(f"{' and '.join(map(str, names.values()))} have different class names in their metadata")
        if not labels:
            raise UserError(f"{files[0]} has no rows")
        return cls(files, rows, contents, torch.tensor(labels, dtype=torch.int64), next(iter(names)))

    def split(self, size: tuple[int, int] | None, skip_broken: bool) -> tuple[Split, tuple[str, ...]]:
        reading = read_images(lambda i: open_image(self.contents[i]), self.names, size, skip_broken=skip_broken)
        everything = Split(reading.store, torch.arange(len(self.contents)), self.labels, ids_of_contents(self.contents))
        return everything.subset(reading.rows), reading.warnings


def _files(given: str | tuple[str, ...]) -> tuple[Path, ...]:
    patterns = (given,) if isinstance(given, str | os.PathLike) else given
    files: list[Path] = []
    for pattern in patterns:
        text = os.path.expanduser(os.fspath(pattern))  # noqa: PTH111 - a pattern, not a path
        found = [text] if Path(text).is_file() else sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - absolute
        if not found:
            raise UserError(f"no Parquet file at {pattern}")
        files += map(Path, found)
    return tuple(files)


def _read(file: Path, columns: tuple[str, str]) -> Any:
    try:
        with pq.ParquetFile(file) as parquet:
            present = parquet.schema_arrow.names
            for column in columns:
                if column not in present:
                    raise UserError(f"{file} has no column {column!r}; {nearest_hint(column, present)}")
            return parquet.read(columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{file} cannot be read as Parquet: {error}") from error


def _contents(column: Any, file: Path, name: str) -> list[memoryview]:
    if pa.types.is_struct(column.type):
        if column.type.get_field_index("bytes") < 0:
            raise UserError(f"{file}: column {name!r} has no field 'bytes' but {column.type}")
        column = pc.struct_field(column, "bytes")
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise UserError(f"{file}: column {name!r} must hold encoded images as bytes; it holds {column.type}")
    if column.null_count:
        raise UserError(f"{file}: {column.null_count} of {len(column)} rows have no image bytes in {name!r}")
    return [memoryview(value.as_buffer()) for value in column]


def _labels(column: Any, file: Path, name: str) -> list[int]:
    if not pa.types.is_integer(column.type):
        raise UserError(f"{file}: column {name!r} must hold class numbers as integers; it holds {column.type}")
    if column.null_count:
        raise UserError(f"{file}: {column.null_count} of {len(column)} rows have no label in {name!r}")
    labels: list[int] = column.to_pylist()
    if labels and min(labels) < 0:
        raise UserError(f"{file}: labels must be at least 0; found {min(labels)} (unlabelled images?)")
    return labels


def _class_names(metadata: dict[bytes, bytes], label: str, file: Path) -> tuple[str, ...]:
    """Return the class names of a file's schema metadata; none if it has none."""
    try:
        if b"classes" in metadata:
            return tuple(metadata[b"classes"].decode().strip("\n").split("\n"))
        if b"huggingface" in metadata:
            features = json.loads(metadata[b"huggingface"])["info"]["features"]
            return tuple(features.get(label, {}).get("names", ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: its metadata about classes cannot be read ({error})") from error
    return ()
