"""How robust is this model? Its answers under every condition of a plan, as counts with one row per image."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import torch
from torch import nn

from robustpeft.attacks import Judge
from robustpeft.attacks.driver import default_slots
from robustpeft.attacks.subject import check_gradients
from robustpeft.auditing.attacked import Attacked, keep_beside, measure_attacks
from robustpeft.auditing.audited_data import AuditedData
from robustpeft.auditing.borrowed import borrowed_condition, measure_borrowed, shelf_of
from robustpeft.auditing.checks import Inspection
from robustpeft.auditing.commons import Place
from robustpeft.auditing.conditions import Condition, conditions_of
from robustpeft.auditing.environment import describe_environment
from robustpeft.auditing.gallery import choose_shown, gallery_items
from robustpeft.auditing.measure import Outcome, Setting, measure
from robustpeft.auditing.plan import AuditPlan
from robustpeft.auditing.progress import Observer, Pace
from robustpeft.auditing.sanity import check_answer
from robustpeft.auditing.sealing import seal_audit
from robustpeft.auditing.siblings import Sibling, check_siblings, read_siblings
from robustpeft.auditing.smallest import find_smallest
from robustpeft.auditing.tally import image_rows, measurement
from robustpeft.errors import UserError
from robustpeft.perturbations import Perturbation
from robustpeft.records import AuditRecord, DataInfo, GalleryItem, Seal, Subject
from robustpeft.types import Attackable, Classifier, Split, check_labels

__all__ = ["expected_seal", "run_audit"]

_log = logging.getLogger(__name__)


def run_audit(
    model: Classifier,
    split: Split,
    plan: AuditPlan,
    *,
    subject: Subject,
    data: AuditedData,
    seed: int = 0,
    place: Place | None = None,
    observer: Observer | None = None,
) -> AuditRecord:
    """Return what the model answers on clean, attacked and perturbed images.

    Args:
        model: Maps images in [0, 1] to logits; looked at through a frozen twin in eval mode and left untouched.
        split: The images.
        plan: The conditions.
        subject: What the record says of the model.
        data: What the record says of the images.
        seed: Of the subset, the attacks and the perturbations. The same seed gives the same answers, for any batch
            size (up to the rounding of the model itself).
        place: Where results are kept as soon as they are there, and an audit that was broken off goes on; None keeps
            them in memory.
        observer: Called after every batch.

    Cost:
        Per image, 1 forward for the clean image and for every perturbation, and the attacks: with the default plan at
        most 45 forwards and 43 backwards for every epsilon, and none any more once an image is broken.

    Raises:
        UserError: If there are no images, the model answers for other classes, or a perturbation does not fit the
            images; all before the first attack.
        RuntimeError: If an attack returned images outside its threat.
    """
    if len(split) == 0:
        raise UserError(f"{data.name} has no images in its {data.split} split; there is nothing to audit")
    check_labels(split.labels, num_classes=len(data.classes))
    check_gradients(model, plan.searches, len(data.classes))
    taken = split if plan.images is None else split.take(plan.images, seed)
    shown = choose_shown(taken, plan.gallery, seed)
    setting = _setting(model, taken, plan, data.classes, seed, shown)
    image_size, conditions = _rehearse(setting, plan)
    siblings = read_siblings(plan)
    seal = _seal(model, taken, plan, seed, data.classes, image_size, siblings)
    _log.info("%s: sealed as %s", subject.label, seal.digest)
    inspection = Inspection.begin(model, setting, plan, subject)
    attacks = tuple(condition for condition in conditions if condition.kind == "attack")
    borrowed = borrowed_condition(plan, subject) if isinstance(model, Attackable) else None
    others = conditions[1 + len(attacks) :]
    measured = (conditions[0], *attacks, *([borrowed] if borrowed else []), *others)
    pace = Pace(measured, len(taken), observer, plan.black_box_images)
    clean = measure(conditions[0], setting, pace)
    place = place or Place()
    candidates = [found for sibling in siblings for found in sibling.candidates(plan.norm)]
    attacked = Attacked(model, plan, attacks, place.ledger, inspection.keepsake, seal.digest, candidates)
    outcomes = {conditions[0]: clean, **measure_attacks(attacked, setting, clean, pace)}
    findings = inspection.keepsake.findings
    if borrowed is not None and isinstance(model, Attackable):
        keep = keep_beside(attacked, findings, "transfer")
        shelf = shelf_of(place.commons, borrowed, setting, seal)
        outcomes[borrowed] = measure_borrowed(borrowed, model, setting, clean, pace, keep, shelf)
    smallest = find_smallest(model, plan, setting, clean, findings, keep_beside(attacked, findings, "minimal"))
    outcomes |= smallest.outcomes
    for condition in others:
        outcomes[condition] = measure(condition, setting, pace)
    return AuditRecord(
        subject=subject,
        data=DataInfo(
            data.name, data.split, len(taken), data.classes, image_size, taken.digest, data.note, data.outside
        ),
        measurements=tuple(measurement(c, o, taken.labels, len(data.classes)) for c, o in outcomes.items()),
        rows=image_rows(
            taken,
            {c.key: o.predictions for c, o in outcomes.items()},
            {c.key: o.asked for c, o in outcomes.items()},
            smallest.sizes,
            {c.key: o.tried for c, o in outcomes.items() if o.tried is not None},
        ),
        minimal=smallest.search,
        gallery=_gallery(shown, outcomes),
        seed=seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=describe_environment(setting.device),
        checks=inspection.finish(outcomes),
        seal=seal,
    )


def expected_seal(model: Classifier, split: Split, plan: AuditPlan, classes: tuple[str, ...], seed: int = 0) -> Seal:
    """Return the seal that an audit with these values would have, before anything is asked of the model.

    Raises:
        UserError: If a sibling of the plan is not there, or of other images.
    """
    taken = split if plan.images is None else split.take(plan.images, seed)
    height, width = next(iter(taken.batches(1))).images.shape[-2:]
    return _seal(model, taken, plan, seed, classes, (height, width), read_siblings(plan))


def _seal(
    model: Classifier,
    taken: Split,
    plan: AuditPlan,
    seed: int,
    classes: tuple[str, ...],
    image_size: tuple[int, int],
    siblings: Sequence[Sibling],
) -> Seal:
    digests = [sibling.seal.digest for sibling in siblings]
    seal = seal_audit(model, taken, plan, seed=seed, classes=classes, image_size=image_size, siblings=digests)
    check_siblings(siblings, seal)
    return seal


def _setting(
    model: Classifier, taken: Split, plan: AuditPlan, classes: tuple[str, ...], seed: int, shown: Mapping[int, int]
) -> Setting:
    device = _device_of(model)
    first = next(iter(taken.batches(1, device=device))).images
    width = min(plan.batch_size, default_slots(first), len(taken))
    return Setting(
        judge=Judge(model, width),
        split=taken,
        classes=classes,
        width=width,
        device=device,
        seed=seed,
        shown=torch.tensor(list(shown), dtype=torch.int64),
    )


def _device_of(model: Classifier) -> torch.device:
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device


@torch.no_grad()
def _rehearse(setting: Setting, plan: AuditPlan) -> tuple[tuple[int, int], tuple[Condition, ...]]:
    """Return image size and conditions, having tried on one image whatever is cheap: attacks may take hours."""
    batch = next(iter(setting.split.batches(1, device=setting.device)))
    check_answer(setting.judge(batch.images, batch.labels).logits, 1, setting.classes)
    height, width = batch.images.shape[-2:]
    conditions = conditions_of(plan, (height, width))
    for condition in conditions:
        if isinstance(condition.change, Perturbation):
            condition.apply(batch, setting.seed)
    return (height, width), conditions


def _gallery(shown: Mapping[int, int], outcomes: Mapping[Condition, Outcome]) -> tuple[GalleryItem, ...]:
    """Show the last attack of the plan at its largest epsilon, the radius that reports call the main one."""
    attacks = [condition for condition, outcome in outcomes.items() if condition.threat is not None and outcome.answers]
    if not attacks:
        return ()
    clean = next(outcome for condition, outcome in outcomes.items() if condition.kind == "clean")
    return gallery_items(shown, clean, outcomes[attacks[-1]], attacks[-1])
