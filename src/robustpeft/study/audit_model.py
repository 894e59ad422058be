"""How is a model judged? Its test images, the audit, and what the record must say of the model."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save as serialize

from robustpeft.attacks import Square
from robustpeft.auditing import AuditedData, AuditPlan, Commons, Place, Progress, run_audit
from robustpeft.auditing.kept_files import FOLDER as KEPT, forget_unpacked, pack_images
from robustpeft.backbones import ImageClassifier
from robustpeft.data import ImageData, Split
from robustpeft.errors import UserError
from robustpeft.pet import METHOD_AXIS, AdapterHandle
from robustpeft.records import AuditRecord, Subject, write_record
from robustpeft.records.store import RECORD_FILE
from robustpeft.study.audited_images import load_test_images, steps_outside
from robustpeft.study.axes import AXES
from robustpeft.study.run_directory import Run
from robustpeft.study.targets.introduce import introduce
from robustpeft.study.typed import typed_command
from robustpeft.types import THREATS, Threat, gives_gradients, norm_text, to_plain

__all__ = ["Errand", "audit", "carry_out", "check_names", "default_plan", "describe_subject", "load_test_images"]

_log = logging.getLogger(__name__)

QUERIES = (Square(queries=1000),)
"""What is tried at every radius on a model that gives no gradients, where nothing else was asked for."""
COUNTED = (Square(queries=4999),)
"""And what is tried at the largest, its questions counted: with its first point 5,000, the ladder's longest rung."""
LEDGER = "ledger"
"""Directory beside a record: one row per image, attack and restart, from which an audit that was broken off goes on."""


@dataclass(frozen=True)
class Errand:
    """How one audit goes, besides what is measured: the arguments of `audit`, and what it shares with others."""

    label: str | None = None
    output: Path | None = None
    split: str = "test"
    seed: int = 0
    observer: Callable[[Progress], None] | None = None
    commons: Commons | None = None


def audit(
    model: ImageClassifier | Run | str | Path,
    data: Any,
    *,
    plan: AuditPlan | None = None,
    label: str | None = None,
    output: str | Path | None = None,
    split: str = "test",
    seed: int = 0,
    observer: Callable[[Progress], None] | None = None,
) -> AuditRecord:
    """Return how accurate a model is on clean, attacked and perturbed images.

    Args:
        model: A classifier, a run, or words that name a model as for `introduce`.
        data: As for `tune`; its test images are used.
        plan: Attacks, radii, perturbations and number of images; by default made for the image size and for the threat
            the model was tuned for.
        label: Name of the model in tables; its technique by default.
        output: Directory for ``audit.json``, ``audit_images.jsonl``, the adversarial images with which `verify` checks
            them, and the ledger of the attacks, from which an audit that was broken off goes on; not written if None.
        split: ``test``, or ``validation`` while choosing.
        seed: Of all randomness.
        observer: Called as the audit goes on.

    Raises:
        UserError: If model and data do not fit each other.
    """
    if isinstance(model, Run):
        model = model.model
    elif isinstance(model, str | Path):
        model, data = introduce(model, data)
    errand = Errand(label, None if output is None else Path(output), split, seed, observer)
    return carry_out(model, data, plan, errand)


def carry_out(model: Any, data: Any, plan: AuditPlan | None, errand: Errand) -> AuditRecord:
    """Return the record of an audit, written where the errand says; see `audit`.

    Raises:
        UserError: If model and data do not fit each other.
    """
    if not isinstance(model, ImageClassifier):
        raise UserError(f"audit takes a model from rp.load, rp.load_backbone or rp.wrap; got {type(model).__name__}")
    images = load_test_images(data, model)
    split, output = errand.split, errand.output
    if split not in ("test", "validation"):
        raise UserError(f"split must be 'test', or 'validation' while choosing; got {split!r}")
    check_names(model, images)
    plan = plan or default_plan(model.threat, gradients=gives_gradients(model))
    note = " ".join(part for part in (images.note, _met_before(model, images.splits[split])) if part)
    if output is not None:
        _forget_completed(output)
    record = run_audit(
        model,
        images.splits[split],
        plan,
        subject=describe_subject(model, errand.label),
        data=AuditedData(images.name, split, images.classes, note, steps_outside(images)),
        seed=errand.seed,
        place=Place(None if output is None else output / LEDGER, errand.commons),
        observer=errand.observer,
    )
    record = dataclasses.replace(record, introduction=model.introduction, command=typed_command())
    if output is not None:
        folder = output
        kept = pack_images(folder / LEDGER, folder, plan.threats if plan.attacks or plan.black_box else ())
        record = dataclasses.replace(record, adversarial=kept)
        if kept:
            size = sum(file.bytes for file in kept) / 1e6
            _log.info("%d adversarial images are kept in %s, %.1f MB", sum(f.images for f in kept), folder / KEPT, size)
        write_record(record, folder)
        forget_unpacked(folder / LEDGER)
    return record


def _forget_completed(folder: Path) -> None:
    """Delete the ledger of an audit that was completed; one that was begun since then is younger than the record."""
    record, ledger = folder / RECORD_FILE, folder / LEDGER
    if not record.exists():
        return
    written = record.stat().st_mtime_ns
    if not any(path.stat().st_mtime_ns > written for path in ledger.glob("segment-*.jsonl")):
        shutil.rmtree(ledger, ignore_errors=True)


def _met_before(model: ImageClassifier, split: Split) -> str:
    """Return a sentence if images of the split have ids that the model was tuned on, and say it aloud; else nothing."""
    met = len(model.trained_ids.intersection(split.ids.tolist()))
    if not met:
        return ""
    sentence = f"{met} of {len(split)} images have ids that the model was tuned on, so its accuracy may be flattered."
    _log.warning("%s", sentence)
    return sentence


def _tuning(model: ImageClassifier) -> dict[str, Any]:
    """Return what a record says of the tuning; of its validation images, how many there were and how many right."""
    facts = {k: model.tuning[k] for k in ("seconds", "best_epoch", "seed", "training") if k in model.tuning}
    said = model.tuning.get("validation") or {}
    counted = {"validation_correct": said["clean"], "validation_images": said["n"]} if "clean" in said else {}
    return facts | counted


def default_plan(threat: Threat | None, *, gradients: bool = True) -> AuditPlan:
    """Return the default attacks at a quarter, half and all of the radius a model was tuned for, and perturbations.

    Without such a threat the radii are 0.5, 1 and 2 / 255 in Linf, at which standard-trained models fall. A model that
    gives no gradients is attacked by queries, and at the largest radius they are counted.
    """
    attacks, black_box = (AuditPlan.attacks, ()) if gradients else (QUERIES, COUNTED)
    if threat is None or threat.epsilon == 0:
        return AuditPlan(epsilons=(0.5 / 255, 1 / 255, 2 / 255), attacks=attacks, black_box=black_box)
    radii = tuple(threat.epsilon * share for share in (0.25, 0.5, 1.0))
    return AuditPlan(epsilons=radii, norm=norm_text(threat, THREATS), attacks=attacks, black_box=black_box)


def describe_subject(model: ImageClassifier, label: str | None = None) -> Subject:
    """Return what a record says of a model."""
    parameters = sum(p.numel() for p in model.parameters()) or int(getattr(model.network, "num_weights", 0))
    handle = next((a for a in model.attachments if isinstance(a, AdapterHandle)), None)
    return Subject(
        label=label or (type(handle.method).__name__ if handle else model.name if model.introduction else "undefended"),
        backbone=model.name,
        backbone_digest=model.digest(),
        num_parameters=parameters,
        model_bytes=4 * parameters,
        method=to_plain(handle.method, (METHOD_AXIS,)) if handle else None,
        objective=model.tuning.get("objective"),
        trained_threat=to_plain(model.threat, AXES),
        num_trained=handle.num_parameters if handle else 0,
        num_trained_head=handle.num_head_parameters if handle else 0,
        adapter_bytes=len(serialize({n: t.contiguous() for n, t in handle.state().items()})) if handle else None,
        tuning=_tuning(model),
        claimed_clean=model.claimed_clean,
    )


def check_names(model: ImageClassifier, images: ImageData) -> None:
    """Raise if the classes have other names or another order: every label would mean something else."""
    if not model.classes or model.classes == images.classes:
        return
    if sorted(model.classes) == sorted(images.classes):
        where = next(i for i, (a, b) in enumerate(zip(model.classes, images.classes, strict=True)) if a != b)
        raise UserError(
            f"the classes of {images.name} come in another order than the model's: class {where} is "
            f"{images.classes[where]!r} in the data and {model.classes[where]!r} in the model"
        )
    missing = sorted(set(images.classes) ^ set(model.classes))
    raise UserError(
        f"the model knows {len(model.classes)} classes, {images.name} has {len(images.classes)}; "
        f"not in both: {', '.join(missing[:5])}"
    )
