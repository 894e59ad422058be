"""What does a study need that does not come with the package, and is it here? Weights, images and earlier runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from robustpeft.backbones import BACKBONES, Backbone
from robustpeft.data import DataSource, Digits, Folder, HuggingFace, Parquet, Torchvision
from robustpeft.errors import UserError
from robustpeft.study.axes import AXES
from robustpeft.study.grid.cells import arms_of
from robustpeft.study.grid.study_file import Study
from robustpeft.study.offline import offline
from robustpeft.study.recipe import Recipe
from robustpeft.types import to_plain

__all__ = ["Need", "fetch"]

_SIDE = 32  # pixels; images are opened small, as only whether they open is asked


@dataclass(frozen=True)
class Need:
    """One thing that a study needs.

    Args:
        what: For people.
        where: The place on disk where it is looked for.
        missing: Why it cannot be used; empty if it is here.
        remedy: How to get it, if it is missing.
    """

    what: str
    where: str
    missing: str = ""
    remedy: str = ""


def fetch(study: Study, *, check: bool = False) -> Iterator[Need]:
    """Yield everything that a study needs, once it is here or is known to be missing.

    What is needed is opened as an experiment opens it, so that what is here will open on a machine without a network
    that has the same caches. The split of a folder is made and written, before many machines want to write it at once.

    Args:
        study: All its arms are looked at.
        check: Only look: no connection is made, and no file is written.

    Raises:
        UserError: If the study asks for what no recipe has.

    Cost:
        Every data set is read once, at 32 pixels; nothing is tuned.
    """
    recipes = [arm.recipe for arm in arms_of(study)]
    for value in dict.fromkeys(value for recipe in recipes for value in _outside(recipe)):
        yield _look(value, check)


def _outside(recipe: Recipe) -> list[Backbone | DataSource | Path]:
    """Return what a recipe takes from outside the package; equal things of two recipes are equal."""
    backbone, found = recipe.backbone, list[Backbone | DataSource | Path]()
    if backbone.weights is not False and not (backbone.weights is True and backbone.name in BACKBONES):
        found.append(Backbone(backbone.name, backbone.weights))
    if not isinstance(recipe.data, Digits):
        found.append(recipe.data)
    if recipe.start is not None:
        found.append(Path(recipe.start))
    return found


def _look(value: Backbone | DataSource | Path, check: bool) -> Need:
    need = _need(value)
    try:
        _refuse_blanks(value)
        if not check:
            _open(value)
        else:
            with offline():
                _glance(value)
    except UserError as error:
        return replace(need, missing=str(error).splitlines()[0])
    return replace(need, remedy="")


def _need(value: Backbone | DataSource | Path) -> Need:
    """Return what is needed, and what to do if it turns out to be missing."""
    online = "`robustpeft fetch` where there is a network, with the same "
    match value:
        case Path():
            return Need(f"the run {value}", str(value), remedy="tune it first, or give another: --set start=RUN")
        case Backbone(weights=str() as file):
            return Need(f"weights of {value.name}", file, remedy="--set backbone.weights=FILE")
        case Backbone():
            from huggingface_hub import constants

            cache = str(constants.HF_HUB_CACHE)
            return Need(f"weights of {value.name}", cache, remedy=f"{online}HF_HOME; or --set backbone.weights=FILE")
        case Torchvision():
            root = str(Path(value.root).expanduser())
            return Need(
                f"torchvision's {value.name}", root, remedy=f"{online}home directory; or --set data.root=FOLDER"
            )
        case HuggingFace():
            return Need(f"Hugging Face's {value.name}", "the cache of datasets", remedy=f"{online}HF_HOME")
        case Folder():
            return Need(f"the folder {value.path}", value.path, remedy="--set data.path=FOLDER")
        case Parquet():
            return Need(f"the Parquet files {value.train}", str(value.train), remedy="--set data.train=FILE.parquet")
    return Need(f"data of {type(value).__name__}", "where it says", remedy=f"see {type(value).__module__}")


def _open(value: Backbone | DataSource | Path) -> None:
    if isinstance(value, Path):
        _glance(value)
    elif isinstance(value, Backbone):
        value.load()
    else:
        value.load(_SIDE)


def _glance(value: Backbone | DataSource | Path) -> None:
    """Open what opens without a trace; of the rest, see whether it is there."""
    if isinstance(value, Path | Folder):
        path = value if isinstance(value, Path) else Path(value.path).expanduser()
        if not path.is_dir():
            raise UserError(f"there is no directory {path}")
    elif isinstance(value, Torchvision):
        _open(replace(value, download=False))
    else:
        _open(value)


def _refuse_blanks(value: Backbone | DataSource | Path) -> None:
    if "CHANGE-ME" in str(value if isinstance(value, Path) else to_plain(value, AXES)):
        raise UserError("the study leaves it to you")
