"""What is a study on paper? One YAML file: a base recipe, axes, how one chooses and how one judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from robustpeft.auditing import AuditPlan
from robustpeft.errors import UserError, nearest_hint
from robustpeft.study.axes import AXES
from robustpeft.study.grid.stage_file import DistanceStage, TransferStage
from robustpeft.study.recipe import Recipe, read_recipe, read_setting
from robustpeft.study.yaml_text import read_yaml
from robustpeft.types import from_plain

__all__ = ["Contrast", "Grid", "Resources", "Study", "read_study", "shipped_studies"]

_MERGED = (
    "set",
    "audit",
    "resources",
    "slurm",
)  # a scale changes single keys of these; what else it names, it replaces


@dataclass(frozen=True)
class Contrast:
    """Which arms are compared, image by image.

    Args:
        reference: Label of the arm that the others are compared with.
        against: Labels of the others; all other arms of the grid if empty.
        grid: Where they stand.
    """

    reference: str
    against: tuple[str, ...] = ()
    grid: str = "main"


@dataclass(frozen=True)
class Grid:
    """Some arms: every combination of the points of its axes.

    Args:
        axes: A dotted key of the recipe, or a word of one's own, to its points. A point is a value of that key;
            ``{label, value}``; or ``{label, set: {key: value, ...}}`` where several keys change together. A point with
            a label may also name its `group` (arms of one group are one curve), a `select` of its own, and `budgets`:
            numbers of trained parameters without the head, for each of which the technique's size is solved.
        set: Dotted keys that all arms of this grid share, over those of the study.
        select: As in the study, which it replaces.
        seeds: As in the study, which it replaces.
    """

    axes: Mapping[str, tuple[Any, ...]]
    set: Mapping[str, Any] = field(default_factory=dict)
    select: Mapping[str, tuple[Any, ...]] | None = None
    seeds: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Resources:
    """An experiment's share of a machine, where something shares it out: Ray, SLURM.

    Args:
        cpus: Of each experiment.
        gpus: Of each experiment; on Ray 0.5 lets two share one.
    """

    cpus: float = 1.0
    gpus: float = 0.0


@dataclass(frozen=True)
class Study:
    """A grid of experiments.

    Args:
        name: Of the study.
        base: A shipped recipe, a file, or a recipe itself.
        question: What it asks.
        set: Dotted keys of the recipe that all arms share.
        axes: Of the grid called ``main``.
        grids: Further ones by name, each as a `Grid`.
        select: What is chosen for every arm on validation images: dotted keys to what is tried, all combinations. Arms
            may try other values, but all of a grid try the same number.
        select_seed: Of the trials.
        seeds: Of the runs of what was chosen: only these see the test images.
        audit: How these are judged; None for the base recipe's, or the default of `rp.audit`.
        comparisons: Paired tests that were planned, over which Holm's correction is taken.
        sources: What to cite, as BibTeX.
        headline: The epsilon of the audit at which arms are compared; None for the largest.
        transfers: Transfer matrices among arms, after the runs.
        distances: Distances between the parameters of arms of full tuning, after the runs.
        budget_tolerance: By which share of a budget a technique may stay below it.
        scale: Name of the scale that was taken; empty for the file as it stands.
        resources: What each experiment gets of a cluster's machines.
        slurm: Further fields of `SlurmArray`, where that is asked for.
    """

    name: str
    base: Any
    question: str = ""
    set: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    grids: Mapping[str, Any] = field(default_factory=dict)
    select: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    select_seed: int = 0
    seeds: tuple[int, ...] = (1, 2, 3)
    audit: AuditPlan | None = None
    comparisons: tuple[Contrast, ...] = ()
    sources: tuple[str, ...] = ()
    headline: float | None = None
    transfers: tuple[TransferStage, ...] = ()
    distances: tuple[DistanceStage, ...] = ()
    budget_tolerance: float = 0.1
    scale: str = ""
    resources: Resources = field(default_factory=Resources)
    slurm: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or self.name.startswith("."):
            raise UserError(f"the name of a study becomes a directory; got {self.name!r}")
        if not 0 <= self.budget_tolerance < 1:
            raise UserError(f"budget_tolerance is a share in [0, 1); got {self.budget_tolerance}")
        if not self.axes and not self.grids:
            raise UserError("a study needs axes, or grids with axes")
        for seeds in (self.seeds, *(grid.seeds for grid in self.all_grids().values())):
            if seeds is not None and (not seeds or len(set(seeds)) != len(seeds) or self.select_seed in seeds):
                raise UserError(f"seeds must be different, and none the select_seed {self.select_seed}; got {seeds}")

    def all_grids(self) -> dict[str, Grid]:
        """Return the grids by name, ``main`` first."""
        found = {"main": Grid(self.axes)} if self.axes else {}
        return found | {name: from_plain(Grid, plain, (), f"grids.{name}") for name, plain in self.grids.items()}

    def base_recipe(self) -> Recipe:
        """Return the recipe from which all arms start."""
        return read_recipe(self.base) if isinstance(self.base, str) else from_plain(Recipe, self.base, AXES, "base")


def shipped_studies() -> dict[str, Path]:
    """Return the studies that come with the package, by name."""
    folder = Path(str(resources.files("robustpeft.study") / "studies"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_study(name: str, scale: str | None = None, settings: Sequence[str] = ()) -> Study:
    """Return the study of a file or of a shipped name, at one of its scales.

    Args:
        name: Path of a YAML file, or the name of a shipped study.
        scale: One of the file's; None for the first, where it has any.
        settings: Each ``key.sub=value`` of the recipe, the value in YAML, for all arms.

    Raises:
        UserError: If there is no such study or scale, it is not valid YAML, or it has an unknown key or a wrong value.
    """
    plain = _plain(name)
    scales = plain.pop("scale", None) or {}
    if not isinstance(scales, dict) or not all(isinstance(block, dict) for block in scales.values()):
        raise UserError(f"{name}: scale must be a mapping of names to mappings")
    if scale is not None and scale not in scales:
        raise UserError(f"{name} has no scale {scale!r}; {nearest_hint(scale, scales)}")
    chosen = scale if scale is not None else next(iter(scales), "")
    for block in scales:  # a mistake in a scale is told now and not on the day it is asked for
        study = from_plain(Study, _merged(plain, scales[block]) | {"scale": block}, AXES)
        if block == chosen:
            found = study
    found = found if scales else from_plain(Study, plain, AXES)
    return replace(found, set={**found.set, **dict(map(read_setting, settings))}) if settings else found


def _plain(name: str) -> dict[str, Any]:
    path = Path(name)
    if not path.is_file():
        shipped = shipped_studies()
        if name not in shipped:
            raise UserError(f"no study {name!r}: not a file, and not shipped; {nearest_hint(name, shipped)}")
        path = shipped[name]
    plain = read_yaml(path)
    if not isinstance(plain, dict):
        raise UserError(f"{path} must hold a mapping; got {type(plain).__name__}")
    return {"name": path.stem} | plain


def _merged(plain: Mapping[str, Any], block: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**plain, **block}
    for key in _MERGED:
        if isinstance(plain.get(key), dict) and isinstance(block.get(key), dict):
            merged[key] = plain[key] | block[key]
    return merged
