"""Where do experiments run? One table, and how a study's words become an entry of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from robustpeft.study.grid.executor import Executor
from robustpeft.study.grid.local_executor import Local
from robustpeft.study.grid.ray_executor import RayTasks
from robustpeft.study.grid.slurm_executor import SlurmArray
from robustpeft.study.grid.study_file import Study
from robustpeft.types import Axis, from_plain, look_up

__all__ = ["EXECUTORS", "executor_of"]

EXECUTORS: Mapping[str, type[Executor]] = {"local": Local, "ray": RayTasks, "slurm": SlurmArray}
"""Every place where experiments run, by name."""

_AXIS = Axis(Executor, EXECUTORS, "executor")


def executor_of(study: Study, name: str, settings: Mapping[str, Any]) -> Executor:
    """Return where a study's experiments run.

    Args:
        study: Says each experiment's share of a machine, and in its block ``slurm`` more.
        name: From `EXECUTORS`, or ``package.module:Class``.
        settings: Fields of the executor, over those of the study.

    Raises:
        UserError: If there is no such executor or field, or the executor refuses a value.
    """
    found = look_up(EXECUTORS, name, "executor")
    known = {field.name for field in dataclasses.fields(found)} if dataclasses.is_dataclass(found) else set()
    share = {key: value for key, value in dataclasses.asdict(study.resources).items() if key in known}
    block = study.slurm if name == "slurm" else {}
    plain = {"name": name, **share, **block, **settings}
    return from_plain(Executor, plain, (_AXIS,), name)  # type: ignore[type-abstract]
