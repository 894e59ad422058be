"""How do metrics reach a tracker after the fact? From ``metrics.jsonl``: one experiment one run, no step twice.

What was sent stands in ``tracked.json`` beside the metrics; asked again, only what came since is sent.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from robustpeft.errors import UserError
from robustpeft.records import StudyRecord, read_record, read_study_record, write_json
from robustpeft.records.store import RECORD_FILE
from robustpeft.records.study_record import STUDY_FILE
from robustpeft.study.run_directory import RECIPE_FILE

__all__ = ["TRACKERS", "Sent", "track"]

METRICS_FILE, TRACKED_FILE = "metrics.jsonl", "tracked.json"
Lines = list[dict[str, Any]]


@dataclass(frozen=True)
class _Experiment:
    """One run of a tracker.

    Args:
        directory: Of the run, with its metrics.
        name: For people.
        group: The study it belongs to; empty for none.
        audit: Directory of its audit, if there is one.
    """

    directory: Path
    name: str
    group: str = ""
    audit: Path | None = None


@dataclass(frozen=True)
class Sent:
    """What was sent of one experiment.

    Args:
        name: Of the experiment.
        steps: Lines of metrics that were new.
    """

    name: str
    steps: int


def track(path: str | Path, to: str, *, project: str = "robustpeft", offline: bool = False) -> tuple[Sent, ...]:
    """Send the metrics of a run, of all experiments of a study, or of all runs below a directory to a tracker.

    Args:
        path: Where they lie.
        to: A key of `TRACKERS`.
        project: Under which W&B keeps them.
        offline: Let W&B write files that ``wandb sync`` sends later; it needs no account and no network then.

    Raises:
        UserError: If there is no such tracker, nothing to send, or the tracker is not installed.
    """
    if to not in TRACKERS:
        raise UserError(f"unknown tracker {to!r}; there are {', '.join(TRACKERS)}")
    experiments = _experiments(Path(path))
    if not experiments:
        raise UserError(f"no {METRICS_FILE} under {path}: expected a run, a study, or a directory of runs")
    return tuple(Sent(each.name, TRACKERS[to](each, project, offline)) for each in experiments)


def _to_wandb(experiment: _Experiment, project: str, offline: bool) -> int:
    try:
        import wandb
    except ImportError as error:
        raise UserError("tracking with W&B needs: pip install 'robustpeft[wandb]'") from error
    file = experiment.directory / TRACKED_FILE
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    state = known.get("wandb", {"id": _identity(experiment.directory), "step": -1})
    new = [line for line in _lines(experiment.directory) if line["step"] > state["step"]]
    if not new:
        return 0
    run = wandb.init(
        project=project,
        id=state["id"],
        resume="allow",
        name=experiment.name,
        group=experiment.group or None,
        config=_recipe(experiment.directory),
        dir=str(experiment.directory),
        mode="offline" if offline else "online",
    )
    try:
        for line in new:
            run.log({key: value for key, value in line.items() if key != "step"}, step=line["step"])
        for key, value in _counts(experiment.audit).items():
            run.summary[key] = value
    finally:
        run.finish()
    write_json(file, known | {"wandb": {**state, "step": new[-1]["step"]}})
    return len(new)


def _to_tensorboard(experiment: _Experiment, project: str, offline: bool) -> int:
    """Write ``tensorboard/`` beside the metrics anew, so that each step is there once."""
    from torch.utils.tensorboard import SummaryWriter

    lines, folder = _lines(experiment.directory), experiment.directory / "tensorboard"
    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as board:
        for line in lines:
            for key, value in line.items():
                if key != "step" and isinstance(value, int | float):
                    board.add_scalar(key, value, line["step"])
    return len(lines)


TRACKERS: Mapping[str, Callable[[_Experiment, str, bool], int]] = {
    "wandb": _to_wandb,
    "tensorboard": _to_tensorboard,
}
"""What metrics can be sent to, by name."""


def _experiments(path: Path) -> tuple[_Experiment, ...]:
    if (path / STUDY_FILE).is_file():
        found = tuple(_of_study(read_study_record(path)))
    elif (path / METRICS_FILE).is_file():
        found = (_Experiment(path, path.resolve().name, audit=path),)
    else:
        runs = sorted(file.parent for file in path.rglob(METRICS_FILE) if "learning_rates" not in file.parts)
        found = tuple(_Experiment(run, run.relative_to(path).as_posix(), audit=run) for run in runs)
    return tuple({each.directory: each for each in found}.values())


def _of_study(study: StudyRecord) -> Iterator[_Experiment]:
    """Yield every experiment of a study that has metrics; those that several arms share under the first one's name."""
    group = f"{study.name}-{study.scale}" if study.scale else study.name
    seen: set[str] = set()
    for arm in study.arms:
        named = [(trial.identity, f"trial {_settings(trial.settings)}") for trial in arm.trials]
        named += [(run.identity, f"seed {run.seed}") for run in arm.runs]
        for identity, what in named:
            place = study.place(identity)
            if identity not in seen and (place / "run" / METRICS_FILE).is_file():
                seen.add(identity)
                yield _Experiment(place / "run", f"{arm.grid}: {arm.label}, {what}", group, place)


def _lines(directory: Path) -> Lines:
    """Return all whole lines with their steps; of a step that is there twice, the later one."""
    lines = (directory / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    by_step = {line["step"]: line for text in lines if text.endswith("}") for line in [json.loads(text)]}
    return [by_step[step] for step in sorted(by_step)]


def _identity(directory: Path) -> str:
    """Return the id under which a tracker knows an experiment; it is kept, so it stays when the directory moves."""
    return hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]


def _recipe(directory: Path) -> dict[str, Any]:
    file = directory / RECIPE_FILE
    plain: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return plain


def _counts(directory: Path | None) -> dict[str, float]:
    """Return accuracy under every condition of an audit; nothing where there was none."""
    if directory is None or not (directory / RECORD_FILE).is_file():
        return {}
    record = read_record(directory)
    return {f"test/{m.key}": m.correct.fraction for m in record.measurements}


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in settings.items())
