"""Which images lie in a folder, of which class, and in which split did its owner put them?"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robustpeft.data.reading import listing
from robustpeft.errors import UserError

__all__ = ["FolderContent", "FoundImage", "image_files", "natural_key", "scan"]

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".ppm", ".pgm", ".pbm", ".jp2")
)
_SPLIT_NAMES = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class FoundImage:
    """One file.

    Args:
        path: Relative to the folder, with forward slashes.
        class_name: The folder that says what it shows.
        split: ``train``, ``validation`` or ``test`` if its owner put it there; empty if not.
    """

    path: str
    class_name: str
    split: str = ""


@dataclass(frozen=True)
class FolderContent:
    """What a folder holds.

    Args:
        classes: In natural order: class2 before class10.
        images: In natural order of their paths.
        strangers: Files that are no images by their suffix.
    """

    classes: tuple[str, ...]
    images: tuple[FoundImage, ...]
    strangers: tuple[str, ...]

    @property
    def split_names(self) -> frozenset[str]:
        """The splits that are there as folders."""
        return frozenset(image.split for image in self.images if image.split)


def natural_key(name: str) -> tuple[object, ...]:
    """Return a sort key under which numbers count as numbers and case does not: a2 < A10 < b."""
    pieces = re.split(r"([0-9]+)", name)
    return (*((int(p), "") if i % 2 else (0, p.casefold()) for i, p in enumerate(pieces)), (0, name))


def image_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the images below a folder, in natural order, and the other files; hidden ones are not looked at."""
    images: list[Path] = []
    others: list[Path] = []
    for directory, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if not _hidden(f)]
        for file in files:
            if not _hidden(file):
                path = Path(directory, file)
                (images if path.suffix.lower() in SUFFIXES else others).append(path)
    images.sort(key=lambda path: natural_key(path.as_posix()))
    others.sort(key=lambda path: natural_key(path.as_posix()))
    return images, others


def scan(root: Path) -> FolderContent:
    """Return what lies in ``root/class/*`` or ``root/{train,val,validation,test}/class/*``.

    Raises:
        UserError: If it is no folder, or has no class folders with images in them.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder")
    folders = _folders(root)
    owners = _owner_splits(folders)
    images: list[FoundImage] = []
    strangers: list[str] = []
    for split, base in owners.items() if owners else (("", root),):
        for class_folder in _folders(base):
            found, others = image_files(class_folder)
            images += [FoundImage(p.relative_to(root).as_posix(), class_folder.name, split) for p in found]
            strangers += [p.relative_to(root).as_posix() for p in others]
    if not images:
        raise UserError(_nothing_found(root, folders))
    classes = tuple(sorted({image.class_name for image in images}, key=natural_key))
    return FolderContent(classes, tuple(images), tuple(strangers))


def _owner_splits(folders: list[Path]) -> Mapping[str, Path]:
    """Return the folders of an owner's split by name; nothing if these are classes."""
    names = {_SPLIT_NAMES.get(folder.name.lower(), ""): folder for folder in folders}
    if len(names) != len(folders) or "" in names or "train" not in names or not _folders(names["train"]):
        return {}
    return {name: names[name] for name in ("train", "validation", "test") if name in names}


def _folders(path: Path) -> list[Path]:
    return sorted((p for p in path.iterdir() if p.is_dir() and not _hidden(p.name)), key=lambda p: natural_key(p.name))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _nothing_found(root: Path, folders: list[Path]) -> str:
    expected = f"expected {root}/CLASS/IMAGE or {root}/train/CLASS/IMAGE"
    loose, others = image_files(root)
    if any(p.suffix == ".parquet" for p in others):
        return f"{root} holds Parquet files: give '{root}/*.parquet' instead of the folder"
    if loose and not folders:
        return f"{root} has {len(loose)} images but no class folders; {expected}"
    if folders:
        return f"the folders of {root} ({listing([f.name for f in folders])}) have no images in them; {expected}"
    return f"{root} has no images; {expected}"
