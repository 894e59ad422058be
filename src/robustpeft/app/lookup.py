"""Which runs can be shown, and which of them share a backbone? What lies beside their adapters says so."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robustpeft.errors import UserError
from robustpeft.report.wording import threat_text
from robustpeft.study.run_directory import SIDECAR_FILE, read_sidecar

__all__ = ["FoundRun", "FoundRuns", "find_runs", "walk"]

_PASSED_BY = frozenset({"checkpoints", "tensorboard", ".git", "__pycache__"})


@dataclass(frozen=True)
class FoundRun:
    """A finished run.

    Args:
        path: Its directory.
        label: What to call it; unique among those found together.
        family: Runs of one family have the same frozen weights, image size and classes.
        family_title: The family in words.
        threat: ``{"norm": ..., "epsilon": ...}`` that it was tuned for; None if it was not.
    """

    path: Path
    label: str
    family: str
    family_title: str
    threat: dict[str, Any] | None


@dataclass(frozen=True)
class FoundRuns:
    """Runs in the order of their paths, and what could not be read."""

    runs: tuple[FoundRun, ...]
    problems: tuple[str, ...] = ()

    @property
    def families(self) -> dict[str, tuple[FoundRun, ...]]:
        """Runs that stand side by side, by the title of their family."""
        found: dict[str, list[FoundRun]] = {}
        for run in self.runs:
            found.setdefault(run.family, []).append(run)
        times = Counter(runs[0].family_title for runs in found.values())
        titles = [f"{r.family_title}: {r.label}" if times[r.family_title] > 1 else r.family_title
                  for r in (runs[0] for runs in found.values())]  # fmt: skip
        return dict(zip(titles, map(tuple, found.values()), strict=True))


def find_runs(given: Sequence[Path], folders: Iterable[Path]) -> FoundRuns:
    """Return the runs that were given, then those in the folders and below them.

    Raises:
        UserError: If one that was given is no run; one that is merely found and damaged becomes a problem.
    """
    found = {path.resolve(): _describe(path) for path in given}
    problems = []
    for folder in folders:
        for path in (file.parent for file in walk(folder, SIDECAR_FILE)):
            if path.resolve() in found:
                continue
            try:
                found[path.resolve()] = _describe(path)
            except UserError as error:
                problems.append(str(error))
    return FoundRuns(_with_labels_of_their_own(tuple(found.values())), tuple(problems))


def walk(folder: Path, name: str) -> list[Path]:
    """Return the files of this name in a folder and below it, sorted; links to directories are not followed."""
    found = []
    for place, directories, files in os.walk(folder):
        directories[:] = sorted(set(directories) - _PASSED_BY)
        if name in files:
            found.append(Path(place) / name)
    return sorted(found)


def _describe(path: Path) -> FoundRun:
    said = read_sidecar(path)
    try:
        classes, size = list(said["classes"]), said.get("image_size")
        method = said.get("method", {})
        name = str(method.get("name", "adapter"))
        threat = said["threat"]
        shape = f", {size[0]} x {size[1]} pixels" if size else ""
        title = f"{said['backbone_name']}, {len(classes)} classes{shape}"
        key = json.dumps([said["backbone"], said["backbone_digest"], classes, size], sort_keys=True)
        label = path.resolve().name if name in path.resolve().name else f"{path.resolve().name} ({name})"
        if threat is not None:
            label = f"{label}, {threat_text(str(threat['norm']), float(threat['epsilon']))}"
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError(f"{path / SIDECAR_FILE} is damaged ({type(error).__name__}: {error})") from error
    return FoundRun(path, label, key, title, threat)


def _with_labels_of_their_own(runs: tuple[FoundRun, ...]) -> tuple[FoundRun, ...]:
    times = Counter(run.label for run in runs)
    return tuple(run if times[run.label] == 1 else replace(run, label=f"{run.label} [{run.path}]") for run in runs)
