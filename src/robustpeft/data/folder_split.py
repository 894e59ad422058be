"""Which file of a folder goes into which split? As its owner, else the saved split, else a new one says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from robustpeft.data.folder_scan import FolderContent
from robustpeft.data.identity import ids_of_names
from robustpeft.data.partition import check_shares, partition
from robustpeft.data.reading import listing
from robustpeft.data.split_file import SavedSplit, SplitSettings, read_split
from robustpeft.errors import UserError

__all__ = ["SPLITS", "Assignment", "assign"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Assignment:
    """The split of every file that is used.

    Args:
        split_of: Split names by relative path.
        classes: Class names; label i is entry i.
        warnings: What changed since the split was made.
        unsaved: A split that was made now and has to be saved; None otherwise.
    """

    split_of: Mapping[str, str]
    classes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    unsaved: SavedSplit | None = None


def assign(content: FolderContent, settings: SplitSettings, default: SplitSettings, file: Path) -> Assignment:
    """Return the split of every file.

    Args:
        content: What lies in the folder.
        settings: How to make a split where there is none.
        default: The settings of a user who asked for nothing; they yield to the saved ones.
        file: Where a split was saved.

    Raises:
        UserError: If the saved split was made otherwise, a class is too small or not in train, or a group is torn.
    """
    if content.split_names == set(SPLITS):
        found = Assignment({image.path: image.split for image in content.images}, content.classes)
    else:
        found = _with_file(content, settings, default, file)
    _check_classes(content, found)
    if settings.group is not None:
        _check_groups(settings.group, found.split_of)
    return found


def _with_file(content: FolderContent, settings: SplitSettings, default: SplitSettings, file: Path) -> Assignment:
    """Keep what the owner put into validation or test, and divide the rest as saved or anew."""
    owned = {image.path: image.split for image in content.images if image.split in ("validation", "test")}
    pool = [image.path for image in content.images if image.path not in owned]
    saved = read_split(file)
    if saved is None:
        made = _make(content, pool, settings)
        return Assignment(owned | made.split_of, made.classes, unsaved=made)
    saved.check(settings, default, file)
    here = set(pool)
    known = {path: split for path, split in saved.split_of.items() if path in here}
    if not known:
        raise UserError(f"none of the images named in {file} are there any more; delete that file to split anew")
    return Assignment(owned | known, saved.classes, _changes(saved, pool, file))


def _make(content: FolderContent, pool: Sequence[str], settings: SplitSettings) -> SavedSplit:
    shares = check_shares(
        0.0 if "validation" in content.split_names else settings.validation,
        0.0 if "test" in content.split_names else settings.test,
    )
    label_of = {image.path: content.classes.index(image.class_name) for image in content.images}
    labels = torch.tensor([label_of[path] for path in pool], dtype=torch.int64)
    groups = None if settings.group is None else [_group_of(settings.group, path) for path in pool]
    part = partition(labels, ids_of_names(pool), shares, seed=settings.seed, groups=groups, classes=content.classes)
    files = {
        name: tuple(path for path, p in zip(pool, part.tolist(), strict=True) if p == i)
        for i, name in enumerate(SPLITS)
    }
    return SavedSplit(settings, content.classes, files)


def _changes(saved: SavedSplit, pool: Sequence[str], file: Path) -> tuple[str, ...]:
    known = saved.split_of
    new = [path for path in pool if path not in known]
    vanished = sorted(set(known) - set(pool))
    found = []
    if new:
        then = "not used (delete that file to split anew)"
        found.append(f"files that are new since {file.name} was made: {len(new)}: {listing(new)}; {then}")
    if vanished:
        then = "the split goes on without them"
        found.append(f"files that vanished since {file.name} was made: {len(vanished)}: {listing(vanished)}; {then}")
    return tuple(found)


def _check_classes(content: FolderContent, found: Assignment) -> None:
    used = [image for image in content.images if image.path in found.split_of]
    trained = {image.class_name for image in used if found.split_of[image.path] == "train"}
    for image in used:
        if image.class_name not in trained:
            split = found.split_of[image.path]
            raise UserError(f"class {image.class_name!r} has images in {split} ({image.path}) but none in train")


def _group_of(pattern: str, path: str) -> str:
    match = re.search(pattern, path)
    if match is None:
        raise UserError(f"the group pattern {pattern!r} matches nothing in {path!r}")
    return "/".join(g or "" for g in match.groups()) if match.groups() else match.group(0)


def _check_groups(pattern: str, split_of: Mapping[str, str]) -> None:
    homes: dict[str, str] = {}
    for path, split in split_of.items():
        group = _group_of(pattern, path)
        if homes.setdefault(group, split) != split:
            raise UserError(f"group {group!r} has images in {homes[group]} and in {split}, for example {path}")
