"""How do several models compare? Each is audited on the same images, under the same conditions."""

from __future__ import annotations

import dataclasses
import logging
import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from robustpeft.auditing import AuditPlan, Progress
from robustpeft.backbones import ImageClassifier
from robustpeft.data import ImageData
from robustpeft.errors import UserError, nearest_hint
from robustpeft.pet import AdapterHandle
from robustpeft.records import AuditRecord, contained
from robustpeft.records.ledger import OtherWorkError
from robustpeft.records.store import RECORD_FILE
from robustpeft.study.audit_model import LEDGER, Errand, carry_out, default_plan
from robustpeft.study.audited_images import load_test_images
from robustpeft.study.axes import AXES
from robustpeft.study.backbones_in_use import BackbonesInUse
from robustpeft.study.company import Company
from robustpeft.study.device import find_device
from robustpeft.study.profiles import PROFILES, Estimate, estimate, in_words, with_profile
from robustpeft.study.recipe import Recipe, read_recipe
from robustpeft.study.run_directory import note_audit
from robustpeft.study.targets import Facts, check_used, find_target
from robustpeft.study.targets.introduce import acquaint
from robustpeft.study.targets.run import RunTarget
from robustpeft.study.undefended import undefend
from robustpeft.types import from_plain, gives_gradients, imports_allowed, to_plain

__all__ = ["AuditRequest", "audit_runs", "images_of", "labelled", "meet"]

_log = logging.getLogger(__name__)
_SPLITS = ("test", "validation")


@dataclass(frozen=True)
class AuditRequest:
    """What is asked of an audit of models.

    Args:
        data: The images, as for `tune`; None for those that the first run was tuned on.
        changes: Fields of `AuditPlan` to set, as plain data; the rest is the plan of the first run's recipe, or the
            default plan for the first threat that any of the runs was tuned for.
        undefended: Audit the first run's frozen backbone too, without what was trained.
        split: ``test``, or ``validation`` while choosing.
        seed: Of the subset of images, the attacks and the perturbations.
        device: As for `find_device`.
        overwrite: Replace records that are there.
        weights: As for `load`.
        trust: As for `load`.
        profile: A name in `PROFILES`, applied before the changes; None leaves the plan as it is.
        facts: What is known of the models, `weights` and `trust` included; made of those two by default.
        alone: Audit each as if it were the only one: what was found against one is not tried on those after it that
            have its backbone.
    """

    data: Any = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    undefended: bool = False
    split: str = "test"
    seed: int = 0
    device: str = "auto"
    overwrite: bool = False
    weights: str | None = None
    trust: bool = False
    profile: str | None = None
    facts: Facts | None = None
    alone: bool = False

    def __post_init__(self) -> None:
        if self.split not in _SPLITS:
            raise UserError(f"unknown split {self.split!r}; {nearest_hint(self.split, _SPLITS)}")


def audit_runs(
    runs: Sequence[str | Path],
    output: str | Path,
    request: AuditRequest | None = None,
    observer: Callable[[str, Progress], None] | None = None,
) -> list[AuditRecord]:
    """Return one record per model, the undefended one last; each is written as soon as it is complete.

    Whatever can be refused is refused before the first attack: attacks may take hours. Models of one backbone share its
    weights, what its public network is asked, and images that were found (`Company`). Where some of the records are
    there and others are not, those with the very same seal are taken as they are: a call that was broken off is made
    again.

    Args:
        runs: Directories of runs, or words that name other models as for `find_target`.
        output: Each record goes into a directory of its own in it, named after the model.
        request: What is asked.
        observer: Called with the model's label as its audit goes on.

    Raises:
        UserError: If a run cannot be loaded, the models do not fit each other or the data, or records are there.
    """
    asked = request or AuditRequest()
    device = str(find_device(asked.device))
    known = asked.facts or Facts(weights=asked.weights, trust=asked.trust)
    paths = [Path(run) for run in runs]
    stock = BackbonesInUse(known, device)
    models, images = meet(runs, asked.data, known, device, stock)
    directories = {
        m: p for m, p in zip(models, paths, strict=True) if isinstance(find_target(str(p), known), RunTarget)
    }
    plan = _plan(paths[0], list(models.values()), asked)
    if asked.undefended:
        if paths[0] not in directories.values():
            raise UserError(f"{paths[0]} is no run, so there is no undefended model of it to be audited beside it")
        label, model = undefend(stock.run(paths[0]), lambda: images, device)
        models[label] = model
    folders = {label: Path(output) / _file_name(label) for label in models}
    company = Company(models, folders, plan, asked.alone)
    split = images.splits[asked.split]
    finished = {} if asked.overwrite else company.finished(split, images.classes, asked.seed)
    _check_free([folders[label] for label in models if label not in finished], overwrite=asked.overwrite)
    records = []
    for label, model in models.items():
        if label in finished:
            _log.info("%s: audited already in the same way, so %s is taken as it is", label, folders[label])
            records.append(finished[label])
            continue
        if asked.profile is not None:
            _say_how_long(asked.profile, plan, label, estimate(model, split, plan, len(images.classes)))
        told = None if observer is None else _with_label(observer, label)
        errand = Errand(label, folders[label], asked.split, asked.seed, told, company.commons(label))
        begin = partial(carry_out, model, images, company.plan_for(label), errand)
        records.append(_undisturbed(begin, folders[label], overwrite=asked.overwrite))
        if label in directories:
            note_audit(directories[label], records[-1])
    company.dissolve()
    return records


def meet(
    words: Sequence[str | Path], data: Any, facts: Facts, device: str = "cpu", stock: BackbonesInUse | None = None
) -> tuple[dict[str, ImageClassifier], ImageData]:
    """Return the models that these words name, by label and ready to be judged, and the images for all of them.

    Args:
        words: As for `find_target`, each.
        data: As for `images_of`.
        facts: What is known of them; each reads what its kind does.
        device: Where to put them.
        stock: The backbones that were read; a new one by default.

    Raises:
        UserError: If there are none, one comes twice, cannot be read, or they do not fit each other or the data.
    """
    if not words:
        raise UserError("an audit needs at least one run")
    resolved = [Path(each).resolve() for each in words]
    if repeated := [each for each, path in zip(words, resolved, strict=True) if resolved.count(path) > 1]:
        raise UserError(f"the run {repeated[0]} was given twice")
    targets = [find_target(str(each), facts) for each in words]
    check_used(targets, facts)
    stock = BackbonesInUse(facts, device) if stock is None else stock
    loaded = [stock.load(target) for target in targets]
    models = labelled([(Path(target.words), each.model) for target, each in zip(targets, loaded, strict=True)])
    _check_sizes(models)
    settled = {label: each.model for (label, _), each in zip(models.items(), loaded, strict=True) if each.settled}
    _check_classes(settled)
    images = images_of(data, Path(words[0]), loaded[0].model, facts.crop, trust=facts.trust)
    for target, each in zip(targets, loaded, strict=True):
        acquaint(each, target, images, facts)
    _check_classes(models)
    return models, images


def labelled(loaded: Sequence[tuple[Path, ImageClassifier]]) -> dict[str, ImageClassifier]:
    """Return the models by technique, with the run's name where that is not enough, and else with its path."""
    techniques = [_technique(model) for _, model in loaded]
    names = [f"{technique} ({path.resolve().name})" for technique, (path, _) in zip(techniques, loaded, strict=True)]
    paths = [f"{technique} ({path})" for technique, (path, _) in zip(techniques, loaded, strict=True)]
    labels = techniques
    for longer in (names, paths):
        times = Counter(labels)
        labels = [label if times[label] == 1 else more for label, more in zip(labels, longer, strict=True)]
    return {label: model for label, (_, model) in zip(labels, loaded, strict=True)}


def _technique(model: ImageClassifier) -> str:
    return next((type(a.method).__name__ for a in model.attachments if isinstance(a, AdapterHandle)), model.name)


def _plan(run: Path, models: Sequence[ImageClassifier], asked: AuditRequest) -> AuditPlan:
    recipe, changes = _recipe(run, asked.trust), asked.changes
    threat = next((model.threat for model in models if model.threat is not None), None)
    seen_through = all(map(gives_gradients, models))
    own = recipe.audit if recipe is not None else None
    plan = own if own is not None and seen_through else default_plan(threat, gradients=seen_through)
    if changes.get("norm", plan.norm) != plan.norm and "epsilons" not in changes:
        raise UserError(f"epsilons must be given with norm {changes['norm']!r}: the radii of {plan.norm} are others")
    if asked.profile is not None:
        norm = str(changes.get("norm", plan.norm))
        plan = with_profile(dataclasses.replace(plan, norm=norm), asked.profile, gradients=seen_through)
    if "attacks" in changes:  # whoever names attacks wants these and no others
        whole = {} if changes["attacks"] else {"black_box_images": None}  # nothing else is tried on the other images
        changes = {"widest": [], **whole, **changes}
    return from_plain(AuditPlan, to_plain(plan, AXES) | dict(changes), AXES, "audit")


def _say_how_long(profile: str, plan: AuditPlan, label: str, expected: Estimate) -> None:
    hours, minutes = divmod(max(1, round(expected.seconds / 60)), 60)
    text = f"{hours} h {minutes} min" if hours else f"{minutes} min"
    says = f"{profile} ({PROFILES[profile].says}): {in_words(plan)}, on {expected.images} images"
    _log.info("%s: %s; at most %s, if no image breaks", label, says, text)


def _recipe(run: Path, trust: bool) -> Recipe | None:
    file = contained(run, "recipe.yaml")
    with imports_allowed(trust):
        return read_recipe(str(file)) if file.is_file() else None


def images_of(
    given: Any, run: Path, model: ImageClassifier, crop: float | None = None, *, trust: bool = False
) -> ImageData:
    """Return the images that were asked for, those that the run was tuned on if None."""
    data = given
    if given is None:
        recipe = _recipe(run, trust)
        if recipe is None:
            raise UserError(f"{run} was not tuned from a recipe, so its data are not known; say which with --data")
        data = recipe.data
    try:
        images = load_test_images(data, model, crop)
    except UserError as error:
        if given is None:
            raise UserError(f"{error} (the images that {run} was tuned on; say with --data where they are)") from error
        raise
    for warning in images.warnings:
        _log.warning("%s: %s", images.name, warning)
    return images


def _check_sizes(models: Mapping[str, ImageClassifier]) -> None:
    first, *others = models.items()
    for label, model in others:
        if model.image_size != first[1].image_size:
            raise UserError(
                f"{first[0]} takes images of {first[1].image_size} pixels and {label} of {model.image_size}; the same "
                "epsilon means another thing there, so they cannot be audited together"
            )


def _check_classes(models: Mapping[str, ImageClassifier]) -> None:
    if not models:
        return
    first, *others = models.items()
    for label, model in others:
        if model.classes != first[1].classes:
            raise UserError(f"{first[0]} and {label} do not know the same classes; they cannot be audited together")


def _check_free(folders: Collection[Path], *, overwrite: bool) -> None:
    if len(set(folders)) < len(folders):
        raise UserError(f"two models would share a directory ({', '.join(map(str, folders))}); rename a run")
    for folder in folders:
        if (folder / RECORD_FILE).exists() and not overwrite:
            raise UserError(f"{folder} holds an audit already; overwrite it, or give another output")


def _undisturbed(begin: Callable[[], AuditRecord], folder: Path, *, overwrite: bool) -> AuditRecord:
    """Go on with what was broken off there; if that was another audit, replace it if asked to."""
    try:
        return begin()
    except OtherWorkError as error:
        if not overwrite:
            raise UserError(
                f"{folder} holds another audit that was broken off; overwrite it, or give another output ({error})"
            ) from error
    shutil.rmtree(folder / LEDGER)
    return begin()


def _file_name(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-").lower()


def _with_label(observer: Callable[[str, Progress], None], label: str) -> Callable[[Progress], None]:
    return lambda progress: observer(label, progress)
