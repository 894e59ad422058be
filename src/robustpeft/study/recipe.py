"""What is an experiment on paper? One YAML file whose schema is the library's own values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from robustpeft.attacks import PGD
from robustpeft.auditing import AuditPlan
from robustpeft.backbones import Backbone
from robustpeft.data import Augment, DataSource, Digits
from robustpeft.errors import UserError, nearest_hint
from robustpeft.objectives import Objective, PgdAt
from robustpeft.pet import FullLoRA, PETMethod
from robustpeft.study.axes import AXES
from robustpeft.study.yaml_text import read_yaml, yaml_value
from robustpeft.training import TrainingPlan
from robustpeft.types import Linf, Threat, from_plain, to_plain

__all__ = ["Recipe", "blanks", "dump_recipe", "read_recipe", "read_setting", "shipped_recipes", "with_settings"]

_OF_THE_TASK = {"backbone": ("image_size", "patch_size", "seed")}  # fields that another name does not take along


@dataclass(frozen=True)
class Recipe:
    """One experiment: what is tuned, on what, against what, how, and how it is judged.

    Args:
        backbone: The frozen network.
        data: The images.
        method: What is trained in its stead.
        objective: What tuning minimises.
        threat: The adversary it is tuned against.
        training: How the parameters are moved.
        augment: How training images are varied; None for what suits the data set.
        audit: How the result is judged; None for the default of `rp.audit`.
        seed: Of all randomness.
        start: Directory of a run whose tuned network is frozen here in place of the backbone's own weights; None for
            these. A natural start within one run is a phase of `training.before`.
    """

    backbone: Backbone = field(default_factory=Backbone)
    data: DataSource = field(default_factory=Digits)
    method: PETMethod = field(default_factory=FullLoRA)
    objective: Objective = field(default_factory=lambda: PgdAt(PGD(steps=10, keep="last")))
    threat: Threat = field(default_factory=lambda: Linf(8 / 255))
    training: TrainingPlan = field(default_factory=TrainingPlan)
    augment: Augment | None = None
    audit: AuditPlan | None = None
    seed: int = 0
    start: str | None = None


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with the package, by name."""
    folder = Path(str(resources.files("robustpeft.study") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe of a file or of a shipped name, with dotted overrides applied.

    Args:
        name: Path of a YAML file, or the name of a shipped recipe.
        overrides: Each ``key.sub=value``, the value in YAML: ``training.epochs=5``, ``threat.epsilon=8/255``. Their
            order does not matter, but that of one key given twice the last counts.

    Raises:
        UserError: If there is no such recipe, it is not valid YAML, or it has an unknown key or a wrong value.
    """
    path = Path(name)
    if not path.is_file():
        shipped = shipped_recipes()
        if name not in shipped:
            raise UserError(f"no recipe {name!r}: not a file, and not shipped; {nearest_hint(name, shipped)}")
        path = shipped[name]
    plain = read_yaml(path) or {}
    if not isinstance(plain, dict):
        raise UserError(f"{path} must hold a mapping; got {type(plain).__name__}")
    recipe = from_plain(Recipe, plain, AXES)
    if not overrides:
        return recipe
    resolved = to_plain(recipe, AXES)  # every default written out, so that each can be overridden
    settings = [(*read_setting(override), override) for override in overrides]
    for key, value, said in sorted(settings, key=lambda setting: _reach(setting[0])):
        _set(resolved, key, value, said)
    return from_plain(Recipe, resolved, AXES)


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe with dotted keys set, in their order: ``{"method": "lora", "method.r": 4}``.

    Raises:
        UserError: For an unknown key or a wrong value.
    """
    resolved = to_plain(recipe, AXES)
    for key, value in settings.items():
        _set(resolved, key, deepcopy(value), f"{key}={value}")  # a later key may change a part of it
    return from_plain(Recipe, resolved, AXES)


def dump_recipe(recipe: Recipe) -> str:
    """Return the recipe as YAML, every field written out; reading it gives an equal recipe."""
    text: str = yaml.safe_dump(to_plain(recipe, AXES), sort_keys=False, allow_unicode=True)
    return text


def blanks(recipe: Recipe) -> tuple[str, ...]:
    """Return the dotted keys that the recipe leaves to the person: those whose text holds ``CHANGE-ME``."""
    return tuple(_blanks(to_plain(recipe, AXES), ""))


def _blanks(plain: Any, where: str) -> Iterator[str]:
    if isinstance(plain, str) and "CHANGE-ME" in plain:
        yield where
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield from _blanks(value, f"{where}.{key}" if where else key)


def read_setting(text: str) -> tuple[str, Any]:
    """Return the dotted key and the value of ``key.sub=value``, the value in YAML.

    Raises:
        UserError: If it is not that.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"an override is key.sub=value, for example training.epochs=5; got {text!r}")
    try:
        return key, yaml_value(value)
    except yaml.YAMLError as error:
        raise UserError(f"the value in {text!r} is not valid YAML: {error}") from error


def _set(plain: dict[str, Any], key: str, value: Any, said: str) -> None:
    """Set one dotted key; naming another entry of an axis drops the fields that belonged to the former one."""
    *parents, leaf = key.split(".")
    here: Any = plain
    for parent in parents:
        here = _below(here, parent, said)
    if not isinstance(here, dict):
        raise UserError(f"{said!r}: {'.'.join(parents)} is not a mapping")
    tag = _tag(parents[-1]) if parents else None
    if leaf == tag and here.get(leaf) not in (None, value):
        kept = {field: here[field] for field in _OF_THE_TASK.get(parents[-1], ()) if field in here}
        here.clear()
        here.update(kept)
    here[leaf] = value


def _reach(key: str) -> tuple[int, bool]:
    """Return what sorts dotted keys so that none undoes another: a whole before its parts, its name before the rest."""
    *parents, leaf = key.split(".")
    return len(parents), not parents or leaf != _tag(parents[-1])


def _below(here: Any, key: str, override: str) -> Any:
    """Return what stands under `key`, as a mapping or list: a name alone becomes one, what is missing is made."""
    place: Any = key
    if isinstance(here, list):
        if not (key.isdigit() and int(key) < len(here)):
            raise UserError(f"{override!r}: {key!r} must be the number of one of {len(here)} entries, from 0")
        place = int(key)
    found = here[place] if isinstance(here, list) else here.get(key)
    if not isinstance(found, dict | list):
        here[place] = {_tag(key): found} if isinstance(found, str) else {}
    return here[place]


def _tag(field_name: str) -> str:
    return {"threat": "norm", "data": "source"}.get(field_name, "name")
