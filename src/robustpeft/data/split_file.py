"""Where is it written which file is in which split? In a JSON file, made once and read ever after."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robustpeft.errors import UserError

__all__ = ["SPLIT_FILE", "SavedSplit", "SplitSettings", "read_split", "write_split"]

SPLIT_FILE = "robustpeft_split.json"
_VERSION = 1


@dataclass(frozen=True)
class SplitSettings:
    """What a split is made by.

    Args:
        validation: Share of the images.
        test: Share of the images.
        seed: Seed of the choice.
        group: Pattern whose matches keep images together; None if each stands alone.
    """

    validation: float
    test: float
    seed: int
    group: str | None


@dataclass(frozen=True)
class SavedSplit:
    """A split that was made.

    Args:
        settings: What it was made by.
        classes: Class names in natural order; label i is entry i.
        files: Relative paths by split name.
    """

    settings: SplitSettings
    classes: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]]

    @property
    def split_of(self) -> dict[str, str]:
        """The split of every path."""
        return {path: split for split, paths in self.files.items() for path in paths}

    def check(self, wanted: SplitSettings, default: SplitSettings, file: Path) -> None:
        """Raise if something was asked for that this split was not made by; a default yields to the file.

        Raises:
            UserError: Naming the settings that differ.
        """
        differing = [
            f"{name}={value!r} was asked for, but it was made with {getattr(self.settings, name)!r}"
            for name, value in vars(wanted).items()
            if value != getattr(self.settings, name) and value != getattr(default, name)
        ]
        if differing:
            raise UserError(
                f"the split saved in {file} differs: {'; '.join(differing)}. "
                "Leave the setting out, give another split_file, or delete the file to split anew"
            )


def read_split(file: Path) -> SavedSplit | None:
    """Return the split saved in `file`; None if there is no such file.

    Raises:
        UserError: If it is not such a file or names one image twice.
    """
    if not file.is_file():
        return None
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        version = plain["robustpeft_split"]
        settings = SplitSettings(**plain["settings"])
        files = {name: tuple(plain["files"][name]) for name in ("train", "validation", "test")}
        classes = tuple(plain["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is not a saved split ({type(error).__name__}: {error})") from error
    if version != _VERSION:
        raise UserError(f"{file} has split version {version}; this version of robustpeft reads {_VERSION}")
    saved = SavedSplit(settings, classes, files)
    if len(saved.split_of) != sum(map(len, files.values())):
        raise UserError(f"{file} is damaged: it names an image in more than one place")
    return saved


def write_split(saved: SavedSplit, file: Path) -> None:
    """Write a split so that a crash leaves a whole file or none.

    Raises:
        UserError: If the place cannot be written to.
    """
    plain = {
        "robustpeft_split": _VERSION,
        "settings": vars(saved.settings),
        "classes": list(saved.classes),
        "classes_in_plain_order": sorted(saved.classes),
        "files": {name: list(paths) for name, paths in saved.files.items()},
    }
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
        temporary.replace(file)
    except OSError as error:
        raise UserError(
            f"cannot save the split to {file} ({error.strerror}); give split_file a place to write"
        ) from error
