"""What is the result of a study? Its arms, every trial that was made for them, and the runs that were judged."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from robustpeft.errors import UserError
from robustpeft.records.audit_record import AuditRecord
from robustpeft.records.distance_record import DistanceRecord, read_distance
from robustpeft.records.store import read_record, write_json
from robustpeft.records.transfer_record import TransferRecord, read_transfer

__all__ = [
    "STUDY_FILE",
    "ArmRecord",
    "ContrastRecord",
    "RunRecord",
    "StageRecord",
    "StudyRecord",
    "TrialRecord",
    "read_study_record",
    "write_study_record",
]

STUDY_FILE = "study.json"
_VERSION = 1


@dataclass(frozen=True)
class TrialRecord:
    """One trial of selection, on validation images.

    Args:
        identity: Of the experiment.
        settings: What was tried, by dotted key of the recipe.
        validation_n: Validation images.
        validation_clean: Right of them.
        validation_robust: Right of them under the selection attack.
        seconds: Of tuning.
        failed: Why it is not eligible; empty if it is.
        diverged: Whether that is because its loss was not finite, which is a result too.
        attacked: Whether the selection attack was made; without an adversary in tuning it is not, and
            `validation_robust` is `validation_clean`.
        collapsed: Whether nearly every validation image got the same answer, even with the best weights.
    """

    identity: str
    settings: Mapping[str, Any]
    validation_n: int = 0
    validation_clean: int = 0
    validation_robust: int = 0
    seconds: float = 0.0
    failed: str = ""
    diverged: bool = False
    attacked: bool = True
    collapsed: bool = False


@dataclass(frozen=True)
class RunRecord:
    """One run of what was chosen, with a seed of its own.

    Args:
        identity: Of the experiment.
        seed: Of all its randomness.
        num_trained: Trained parameters, head included.
        num_trained_head: Those of them in the head.
        num_parameters: Of the whole model.
        adapter_bytes: Size of what was trained.
        seconds: Of tuning.
        failed: Why there is no audit of it; empty if there is.
        peak_bytes: Of memory, at the most, in tuning and audit; 0 if it was not measured.
        peak_of: Whose memory: ``process`` (all that was resident), ``cuda``, or nobody's.
        diverged: Whether there is no audit because its loss was not finite, which is a result too.
    """

    identity: str
    seed: int
    num_trained: int = 0
    num_trained_head: int = 0
    num_parameters: int = 0
    adapter_bytes: int = 0
    seconds: float = 0.0
    failed: str = ""
    peak_bytes: int = 0
    peak_of: str = ""
    diverged: bool = False


@dataclass(frozen=True)
class ArmRecord:
    """One combination of points on the axes.

    Args:
        grid: Name of its grid.
        label: Unique within the grid.
        group: Arms of one group are one curve over budgets.
        coordinates: Label of its point on every axis.
        chosen: What selection chose, by dotted key; None if no trial came to a result.
        edges: Keys whose chosen value lies at the edge of what was tried.
        trials: All of them.
        runs: One per seed.
        budget: Trained parameters without the head for which the size of its technique was solved; None if it was not.
    """

    grid: str
    label: str
    group: str
    coordinates: Mapping[str, str]
    chosen: Mapping[str, Any] | None
    edges: tuple[str, ...]
    trials: tuple[TrialRecord, ...]
    runs: tuple[RunRecord, ...]
    budget: int | None = None

    @property
    def whole(self) -> tuple[RunRecord, ...]:
        """The runs that were judged."""
        return tuple(run for run in self.runs if not run.failed)


@dataclass(frozen=True)
class ContrastRecord:
    """A comparison that was planned: one arm with others of its grid (all of them if none is named)."""

    reference: str
    against: tuple[str, ...]
    grid: str


@dataclass(frozen=True)
class StageRecord:
    """A question to several runs at once.

    Args:
        kind: ``transfer`` or ``distance``.
        grid: Where their arms stand.
        identity: Of the answer in the store.
        failed: Why there is none; empty if there is.
    """

    kind: str
    grid: str
    identity: str
    failed: str = ""


@dataclass(frozen=True)
class StudyRecord:
    """A study and where its audits lie.

    Args:
        name: Of the study.
        question: What it asks.
        scale: At which it was run.
        store: Directory of the experiments, relative to the record's.
        arms: In the order of the file.
        contrasts: Comparisons that were planned.
        sources: What to cite, as BibTeX.
        headline: The epsilon at which arms are compared; None for the largest that all were attacked at.
        directory: Where the record lies; not written.
        stages: What was asked of several runs at once.
        command: What goes on with it, or gives it again; empty if it was not started by a command.
    """

    name: str
    question: str
    scale: str
    store: str
    arms: tuple[ArmRecord, ...]
    contrasts: tuple[ContrastRecord, ...] = ()
    sources: tuple[str, ...] = ()
    headline: float | None = None
    directory: Path = field(default_factory=Path)
    stages: tuple[StageRecord, ...] = ()
    command: str = ""

    @property
    def grids(self) -> tuple[str, ...]:
        """Names of the grids."""
        return tuple(dict.fromkeys(arm.grid for arm in self.arms))

    def of(self, grid: str) -> tuple[ArmRecord, ...]:
        """Return the arms of a grid that have been judged at least once."""
        return tuple(arm for arm in self.arms if arm.grid == grid and arm.whole)

    def audit(self, run: RunRecord) -> AuditRecord:
        """Return the audit of a run."""
        return read_record(self.place(run.identity))

    def transfer(self, stage: StageRecord) -> TransferRecord:
        """Return the matrix of a stage of the kind ``transfer``."""
        return read_transfer(self.place(stage.identity))

    def distance(self, stage: StageRecord) -> DistanceRecord:
        """Return the distances of a stage of the kind ``distance``."""
        return read_distance(self.place(stage.identity))

    def place(self, identity: str) -> Path:
        """Return the directory of an experiment or a stage."""
        return Path(os.path.normpath(self.directory / self.store)) / identity


def write_study_record(record: StudyRecord) -> Path:
    """Write ``study.json`` into the record's directory and return its path."""
    plain = asdict(record)
    del plain["directory"]
    write_json(record.directory / STUDY_FILE, {"schema_version": _VERSION, **plain})
    return record.directory / STUDY_FILE


def read_study_record(path: Path) -> StudyRecord:
    """Return the record in a directory or ``study.json`` file.

    Raises:
        UserError: If there is none, or it is of another version or damaged.
    """
    file = path / STUDY_FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"no study at {path}: expected a directory with {STUDY_FILE}, or that file")
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        version = plain.pop("schema_version")
        if version != _VERSION:
            raise UserError(f"{file} has version {version}; this version of robustpeft reads {_VERSION}")
        return StudyRecord(
            **{
                **plain,
                "arms": tuple(_arm(arm) for arm in plain["arms"]),
                "contrasts": tuple(
                    ContrastRecord(c["reference"], tuple(c["against"]), c["grid"]) for c in plain["contrasts"]
                ),
                "sources": tuple(plain["sources"]),
                "stages": tuple(StageRecord(**stage) for stage in plain.get("stages", ())),
                "directory": file.parent,
            }
        )
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is damaged ({type(error).__name__}: {error})") from error


def _arm(plain: dict[str, Any]) -> ArmRecord:
    return ArmRecord(
        **{
            **plain,
            "edges": tuple(plain["edges"]),
            "trials": tuple(TrialRecord(**trial) for trial in plain["trials"]),
            "runs": tuple(RunRecord(**run) for run in plain["runs"]),
        }
    )
