"""Does a record hold? A third party asks the model again about the images that are said to break it; none is attacked.

Confirmed is a bound: so many images at most are classified correctly under this threat. That no other image breaks the
model is not, and cannot be; nor when the audit was made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from robustpeft.attacks.subject import model_digest
from robustpeft.auditing.consistency import Dossier, check_consistency
from robustpeft.auditing.reprediction import repredict
from robustpeft.auditing.sealing import pixel_digest
from robustpeft.backbones import ImageClassifier
from robustpeft.data import ImageData, Split
from robustpeft.errors import UserError
from robustpeft.records import AuditRecord
from robustpeft.records.store import read_doubtful_record
from robustpeft.records.verification import Finding, Verification
from robustpeft.study.audit_model import LEDGER, load_test_images
from robustpeft.study.audit_runs import images_of
from robustpeft.study.device import find_device
from robustpeft.study.run_directory import Run, load
from robustpeft.study.targets import Facts, find_target
from robustpeft.study.targets.introduce import introduce
from robustpeft.study.targets.remembered import facts_of_record
from robustpeft.study.targets.run import RunTarget
from robustpeft.study.undefended import load_undefended

__all__ = ["verify", "verify_run"]


def verify(
    record: str | Path,
    model: ImageClassifier | Run | str | Path | None = None,
    data: Any = None,
    *,
    perturbations: bool = True,
    trust: bool = False,
) -> Verification:
    """Return for every claim of a record whether it is confirmed, refuted, or cannot be checked.

    Args:
        record: The directory of a record, or its ``audit.json``; the ledger and the kept images lie beside it.
        model: A classifier, a run, or words that name one as for `introduce`; None to see only whether the files agree
            with each other.
        data: The images, as for `audit`; with the path of a run, by default those that it was tuned on.
        perturbations: Ask again under every perturbation too.
        trust: Import the modules of classes of others that the record names.

    Cost:
        1 forward for every image, every kept image, and every image under every perturbation. No attack.

    Raises:
        UserError: If there is no record, or model or data cannot be loaded.
    """
    path = Path(record)
    read, doubts = read_doubtful_record(path)
    directory = path if path.is_dir() else path.parent
    dossier = Dossier(read, directory, directory / LEDGER, doubts, trust)
    findings = check_consistency(dossier)
    if model is None:
        why = "no model was given"
        findings += [Finding(m.key, "unchecked", why) for m in _asked_about(read, perturbations=perturbations)]
        return Verification(read.subject.label, tuple(findings))
    if isinstance(model, str | Path) and not _is_run(model):
        model, data = _strangers(read, model, data, Facts(trust=trust))
    ready = _loaded(model, trust=trust)
    if data is None and isinstance(model, str | Path):
        images = images_of(None, Path(model), ready)
    elif data is None:
        raise UserError("verify needs the images, as for audit; a model in memory does not say where they are")
    else:
        images = load_test_images(data, ready)
    findings.append(_model(read, ready))
    said, split = _data(read, images)
    findings.append(said)
    if split is None:
        why = "the images are not those that were audited"
        findings += [Finding(m.key, "unchecked", why) for m in _asked_about(read, perturbations=perturbations)]
    else:
        findings += repredict(dossier, ready, split, perturbations=perturbations)
    return Verification(read.subject.label, tuple(findings))


def verify_run(
    record: Path,
    run: Path | str | None,
    data: str | None = None,
    *,
    undefended: bool = False,
    perturbations: bool = True,
    weights: str | None = None,
    device: str = "auto",
    trust: bool = False,
) -> Verification:
    """Return what `verify` finds with the model of a run, with its frozen network, or with somebody else's model.

    Args:
        record: As for `verify`.
        run: Directory of a run, or words that name another model; None for the files alone.
        data: As for `verify`.
        undefended: The record is of the run's network without what was trained.
        perturbations: As for `verify`.
        weights: As for `load`.
        device: As for `find_device`.
        trust: As for `load` and `verify`.

    Raises:
        UserError: As `verify`.
    """
    if run is None:
        return verify(record, perturbations=perturbations, trust=trust)
    where = str(find_device(device))
    if not _is_run(run):
        if undefended:
            raise UserError(f"{run} is no run, so there is no undefended model of it")
        read, _ = read_doubtful_record(record)
        other, ready = _strangers(read, run, data, Facts(weights=weights, trust=trust), where)
        return verify(record, other, ready, perturbations=perturbations, trust=trust)
    run = Path(run)
    model = load(run, device=where, weights=weights, trust=trust)
    images = images_of(data, run, model)
    if undefended:
        _, model = load_undefended(run, images, where, weights, trust)
    return verify(record, model, images, perturbations=perturbations, trust=trust)


def _is_run(words: str | Path) -> bool:
    """Return whether these words name a run, or nothing else that is there."""
    try:
        return isinstance(find_target(str(words)), RunTarget)
    except UserError:
        return True  # the error that loading a run gives says what is missing


def _strangers(
    record: AuditRecord, words: str | Path, data: Any, known: Facts, device: str = "cpu"
) -> tuple[ImageClassifier, ImageData]:
    """Return somebody else's model as the audit met it, and the images at its size."""
    if data is None:
        raise UserError(f"{words} is no run, so its data are not known; say which with --data")
    facts = facts_of_record(record, find_target(str(words), known), known)
    return introduce(words, data, facts, device=device)


def _loaded(model: ImageClassifier | Run | str | Path, *, trust: bool) -> ImageClassifier:
    if isinstance(model, Run):
        return model.model
    if isinstance(model, str | Path):
        return load(model, trust=trust)
    if isinstance(model, ImageClassifier):
        return model
    raise UserError(f"verify takes a model from rp.load, rp.load_backbone or rp.wrap; got {type(model).__name__}")


def _asked_about(record: AuditRecord, *, perturbations: bool) -> list[Any]:
    return [m for m in record.measurements if perturbations or m.kind != "perturbation"]


def _model(record: AuditRecord, model: ImageClassifier) -> Finding:
    digest = model_digest(model)
    if record.seal is None:
        return Finding("model", "unchecked", "the record does not say which tensors the model had")
    if digest != record.seal.model:
        says = f"it is another model: digest {digest[:12]}, sealed was {record.seal.model[:12]}"
        return Finding("model", "refuted", says + _advice(record, model))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Finding("model", "confirmed", f"{digest[:12]}: all {parameters:,} parameters are those that were sealed")


def _advice(record: AuditRecord, model: ImageClassifier) -> str:
    """Return what to give instead, where it is the network that tuning began with, or the tuned one in its place."""
    if record.subject.backbone_digest != model.digest():
        return ""
    if model.attachments and record.subject.method is None:
        return f"; the record is of this run's network without its adapter ({record.subject.label}): add --undefended"
    if not model.attachments and record.subject.method is not None:
        return f"; the record is of a tuned model ({record.subject.label}): leave --undefended out, or give its run"
    return ""


def _data(record: AuditRecord, images: ImageData) -> tuple[Finding, Split | None]:
    """Return what was found about the images, and those of the record in its order; None if they are not there."""
    split = images.splits.get(record.data.split)
    if split is None or tuple(images.classes) != record.data.classes:
        return Finding("data", "refuted", f"{images.name} has other classes, or no {record.data.split} split"), None
    if not record.rows:
        return Finding("data", "unchecked", "without its rows the record does not say which images were audited"), None
    places = {image: place for place, image in enumerate(split.ids.tolist())}
    missing = tuple(row.id for row in record.rows if row.id not in places)
    if missing:
        says = f"{len(missing)} of {len(record.rows)} images are not in the {record.data.split} split of {images.name}"
        return Finding("data", "refuted", says, missing), None
    chosen = split.subset(torch.tensor([places[row.id] for row in record.rows]))
    if chosen.digest != record.data.digest:
        return Finding("data", "refuted", "the images have other labels than in the record, or another order"), None
    if record.seal is None:
        return Finding("data", "unchecked", "ids and labels fit; the record does not say which pixels they had"), chosen
    if pixel_digest(chosen) != record.seal.pixels:
        says = "ids and labels fit, but the pixels are others: another copy, or another decoder of JPEG"
        return Finding("data", "refuted", says), None
    says = f"{len(chosen)} images, with the ids, labels and pixels that were sealed"
    return Finding("data", "confirmed", says), chosen
