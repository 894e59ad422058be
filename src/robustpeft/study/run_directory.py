"""What does tuning leave behind, and how does it become a model again?

adapter_config.json, adapter_model.safetensors   the technique and everything that was trained
robustpeft.json                                   what it belongs to: backbone and digest, classes, threat, data, audits
metrics.jsonl, tensorboard/, checkpoints/         the course of tuning
recipe.yaml                                       the resolved recipe, where it was tuned from one
README.md                                         a model card
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustpeft.backbones import Backbone, ImageClassifier
from robustpeft.data import image_transform
from robustpeft.errors import UserError
from robustpeft.pet import METHOD_AXIS, AdapterHandle, load_adapter, sidecar as pet_sidecar
from robustpeft.pet.files import CONFIG_FILE, WEIGHTS_FILE
from robustpeft.pet.sidecar import SIDECAR_FILE, refuse_foreign
from robustpeft.records import AuditRecord, contained, write_json, write_text
from robustpeft.study.axes import AXES
from robustpeft.study.card import CARD_FILE, is_generated, model_card
from robustpeft.study.hub import find_adapter
from robustpeft.study.noted_audits import audit_summary, noted_audits
from robustpeft.types import Threat, from_plain, imports_allowed, to_plain

__all__ = [
    "MARKER_FILE",
    "START_FILE",
    "SIDECAR_FILE",
    "Run",
    "backbone_of",
    "load",
    "note_audit",
    "prepare_directory",
    "read_backbone",
    "read_sidecar",
    "write_sidecar",
]

_log = logging.getLogger(__name__)

MARKER_FILE = ".robustpeft"
"""Written first of all into every directory of ours: only what holds it, or a sidecar, is ever deleted."""
RECIPE_FILE = "recipe.yaml"
TRAINED_IDS_FILE = "trained_ids.json"
START_FILE = "start.safetensors"
_TO_LOAD = (CONFIG_FILE, WEIGHTS_FILE, SIDECAR_FILE, START_FILE)
_OURS = (SIDECAR_FILE, MARKER_FILE)
_FIELDS_OF_RUNS = {"backbone", "threat", "tuning"}
_FIELDS = _FIELDS_OF_RUNS | {"backbone_name", "backbone_digest", "classes"}  # what `load` reads


@dataclass(frozen=True)
class Run:
    """A finished tuning run.

    Args:
        path: Its directory.
        model: The tuned classifier, in eval mode.
        tuning: Facts of the tuning: epochs, best epoch, validation counts, seconds, ...
    """

    path: Path
    model: ImageClassifier
    tuning: dict[str, Any]


def prepare_directory(path: Path, *, resume: bool, overwrite: bool) -> None:
    """Make the directory of a run.

    Raises:
        UserError: If it exists and is not empty, unless asked to resume or overwrite; a directory that is not a run's
            is never touched.
    """
    if resume and overwrite:
        raise UserError(f"resume goes on with the run in {path}, overwrite deletes it; ask for one of the two")
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file; give a directory for the run")
    occupied = path.is_dir() and any(path.iterdir())
    if occupied and not (resume or overwrite):
        raise UserError(f"{path} is not empty; resume the run there, overwrite it, or give another directory")
    if occupied and not any((path / name).exists() for name in _OURS):  # also for resume: it would become ours
        raise UserError(f"{path} holds something that is not a run of robustpeft; it is not touched")
    if occupied and overwrite:
        for entry in path.iterdir():  # not the directory itself: it may be a link
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    path.mkdir(parents=True, exist_ok=True)
    (path / MARKER_FILE).touch()


def write_sidecar(directory: Path, model: ImageClassifier) -> None:
    """Add to what the saved adapter says it belongs to how to build the backbone, the threat and the tuning.

    The model card is written before: a run with such a sidecar is complete.
    """
    handle = next(attachment for attachment in model.attachments if isinstance(attachment, AdapterHandle))
    said = pet_sidecar.read_sidecar(directory / SIDECAR_FILE) | {
        "backbone": _resolved(model.origin),
        "threat": to_plain(model.threat, AXES),
        "tuning": model.tuning,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "num_trained": handle.num_parameters,
        "num_trained_head": handle.num_head_parameters,
    }
    write_text(directory / CARD_FILE, model_card(said))
    write_json(directory / SIDECAR_FILE, said)


def note_audit(directory: Path, record: AuditRecord) -> None:
    """Add the counts of an audit to what a run says of itself; an older one of the same split of the data goes.

    One of more images stays, as long as its record is there.
    """
    said = pet_sidecar.read_sidecar(directory / SIDECAR_FILE)
    key = f"{record.data.name}/{record.data.split}"
    before = said.get("audits", {}).get(key)
    if before is not None and before["n"] > record.data.n and _still_there(directory, said, key):
        _log.warning("the run keeps vouching for its audit of %d images; this one had %d", before["n"], record.data.n)
        return
    said["audits"] = {name: audit for name, audit in said.get("audits", {}).items() if name != key}
    others = noted_audits(directory, said)
    said["audits"][key] = audit_summary(record)
    try:
        write_json(directory / SIDECAR_FILE, said)
        card = directory / CARD_FILE
        if card.is_file() and is_generated(card.read_text(encoding="utf-8")):
            write_text(card, model_card(said, [*others, record]))
    except OSError as error:  # hours of attacks are not to be lost because a run is kept where nobody may write
        _log.warning("the audit is not noted in %s (%s)", directory / SIDECAR_FILE, error)


def _still_there(directory: Path, said: dict[str, Any], key: str) -> bool:
    return any(f"{record.data.name}/{record.data.split}" == key for record in noted_audits(directory, said))


def _resolved(origin: Any) -> Any:
    """Return the backbone in plain data, a path of weights made absolute: it is read from other directories later."""
    plain = to_plain(origin, ())
    if plain is not None and isinstance(plain["weights"], str):
        plain["weights"] = str(Path(plain["weights"]).expanduser().resolve())
    return plain


def read_sidecar(directory: Path) -> dict[str, Any]:
    """Return what an adapter belongs to.

    Raises:
        UserError: If the directory is no run, or was written by another version.
    """
    file = contained(directory, SIDECAR_FILE)
    if not file.is_file():
        unfinished = " (tuning there has not finished: resume it)" if (directory / "checkpoints").is_dir() else ""
        raise UserError(f"{directory} is not a finished run: {SIDECAR_FILE} is missing{unfinished}")
    plain = pet_sidecar.read_sidecar(file)
    missing = _FIELDS - plain.keys()
    if missing == _FIELDS_OF_RUNS:
        raise UserError(
            f"{directory} holds an adapter but no finished run: load the backbone, then rp.load_adapter(model, "
            f"{str(directory)!r})"
        )
    if missing:
        raise UserError(f"{file} is damaged: {', '.join(sorted(missing))} missing")
    return plain


def load(
    path: str | Path,
    *,
    weights: str | Path | None = None,
    model: ImageClassifier | None = None,
    device: str = "cpu",
    trust: bool = False,
) -> ImageClassifier:
    """Return the tuned classifier of a run, in eval mode: images in [0, 1] to logits.

    Its attributes `classes`, `threat` and `transform` (a PIL image to a tensor) say how to use it.

    Args:
        path: The run's directory, or an adapter on the Hugging Face hub: ``user/name``, ``hf:user/name@revision``. A
            directory of that name always wins, and a `Path` is never looked for on the hub.
        weights: Where the backbone's weights lie now, if they moved.
        model: The frozen classifier to put the adapter on, for a network of one's own that no name can build.
        device: Where to put it.
        trust: Import the modules of techniques and threats that are not robustpeft's own. Without it nothing that
            lies in the directory is executed.

    Raises:
        UserError: If files are missing or damaged, or the backbone is not the one it was tuned on, or the hub does not
            have the adapter.
    """
    directory = find_adapter(path, _TO_LOAD)
    said = read_sidecar(directory)
    if not trust:
        refuse_foreign(directory / name for name in (SIDECAR_FILE, CONFIG_FILE, RECIPE_FILE))
    with imports_allowed(trust):
        if model is None:
            model = read_backbone(backbone_of(directory, said, weights))
        threat = None if said["threat"] is None else from_plain(Threat, said["threat"], AXES, "threat")  # type: ignore[type-abstract]
    handle: AdapterHandle = load_adapter(model, directory, METHOD_AXIS, trust=trust)
    handle.train(False)
    model.classes = tuple(said["classes"])
    if threat is not None:
        model.threat = threat
    model.transform = image_transform(model.image_size)
    model.tuning = said["tuning"]
    model.trained_ids = _trained_ids(directory)
    return model.to(device).eval()


def _trained_ids(directory: Path) -> frozenset[int]:
    file = contained(directory, TRAINED_IDS_FILE)
    return frozenset(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else frozenset()


def backbone_of(directory: Path, said: dict[str, Any], weights: str | Path | None = None) -> Backbone:
    """Return the value that builds the network a run was tuned on; nothing is read but where its weights lie.

    Raises:
        UserError: If no value does, or the weights are not there any more.
    """
    if said["backbone"] is None:
        raise UserError(
            f"{directory} was tuned on a network of its author's own ({said['backbone_name']}); build it, rp.wrap it "
            "and give it as rp.load(path, model=...)"
        )
    plain = said["backbone"] | ({} if weights is None else {"weights": str(weights)})
    kept = plain["weights"]
    if weights is None and isinstance(kept, str):
        beside = contained(directory, Path(kept).name)
        if beside.is_file():
            kept = plain["weights"] = str(beside)  # those of a run that started from another one
        elif not Path(kept).expanduser().is_absolute():
            # Ours are absolute; who writes another one may mean a file of this folder only.
            kept = plain["weights"] = str(contained(directory, kept))
    if isinstance(kept, str) and not Path(kept).expanduser().is_file():
        raise UserError(
            f"the backbone's weights are not at {kept} any more; say where they are: rp.load(path, weights=...), "
            "--weights on the command line"
        )
    return from_plain(Backbone, plain, AXES, "backbone")


def read_backbone(backbone: Backbone) -> ImageClassifier:
    """Return the network without its adapter; that its head is new is not said, since it is about to be filled."""
    with _unsaid("robustpeft.backbones"):
        return backbone.load()


@contextmanager
def _unsaid(logger: str) -> Iterator[None]:
    """Within the context notes of a logger are not said; warnings are."""
    speaker = logging.getLogger(logger)
    before = speaker.level
    speaker.setLevel(logging.WARNING)
    try:
        yield
    finally:
        speaker.setLevel(before)
