"""What does the model say of the images that are said to break it? Asked again, within the threat, without an attack.

An adversarial image proves itself: whoever has the model and the clean image can see that it is near and misclassified.
So a count can be confirmed as a bound, at most k of n; that no other image breaks the model cannot be confirmed by
anybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robustpeft.attacks import Judge
from robustpeft.attacks.driver import default_slots
from robustpeft.attacks.subject import device_of
from robustpeft.auditing.conditions import Condition, conditions_of
from robustpeft.auditing.consistency import Dossier
from robustpeft.auditing.kept_files import read_packed
from robustpeft.errors import UserError
from robustpeft.records import AuditRecord, ImageRow, KeptFile, Measurement
from robustpeft.records.verification import Finding
from robustpeft.types import THREATS, Classifier, Split, Threat, look_up

__all__ = ["repredict"]

_ROUNDING = 1e-3  # of the largest logit: what another machine may change in float32, and ten times that


@dataclass(frozen=True)
class _Kept:
    """Where the images of a file are said to lie: the threat, and its norm as the record calls it."""

    norm: str
    threat: Threat


@dataclass(frozen=True)
class _Point:
    """What came of one kept image.

    Args:
        epsilon: Radius within which it is said to lie.
        problem: Why it is no adversarial image; empty if it is one.
        edge: The problem is smaller than rounding.
    """

    epsilon: float
    problem: str = ""
    edge: bool = False


@dataclass
class _Asking:
    """Who is asked, about what.

    Args:
        judge: The model as it is.
        split: The record's images, in the order of its rows.
        width: Images in every pass.
        rows: By image id.
        device: Where the model lies.
        tolerance: Difference of logits that rounding may make.
        points: What came of the kept images, by norm and image id.
    """

    judge: Judge
    split: Split
    width: int
    rows: Mapping[int, ImageRow]
    device: torch.device
    tolerance: float = 0.0
    points: dict[tuple[str, int], _Point] = field(default_factory=dict)


def repredict(dossier: Dossier, model: Classifier, split: Split, *, perturbations: bool = True) -> list[Finding]:
    """Return what the model says of the images of a record, one finding for every measurement.

    Args:
        dossier: The record.
        model: Asked as it is, through a frozen twin.
        split: Exactly the record's images, in the order of its rows.
        perturbations: Ask again under every perturbation too, which is keyed by seed and image.

    Cost:
        1 forward for every image, every kept image, and every image under every perturbation.

    Raises:
        UserError: If the model cannot answer for these images.
    """
    record = dossier.record
    device = device_of(model)
    first = next(iter(split.batches(1, device=device))).images
    width = min(default_slots(first), len(split))
    asking = _Asking(Judge(model, width), split, width, {row.id: row for row in record.rows}, device)
    findings = [_clean(asking, record)]
    unread = _ask_kept(asking, dossier)
    conditions = _conditions(dossier)
    for measurement in record.measurements:
        if measurement.kind == "attack":
            findings.append(_attack(asking, record, measurement, unread))
        elif measurement.kind == "perturbation" and perturbations:
            findings.append(_perturbation(asking, record, measurement, conditions.get(measurement.key)))
    return [*findings, *_hidden(asking, record)]


def _conditions(dossier: Dossier) -> dict[str, Condition]:
    try:
        return {c.key: c for c in conditions_of(dossier.plan(), dossier.record.data.image_size)}
    except (UserError, ValueError):
        return {}


def _clean(asking: _Asking, record: AuditRecord) -> Finding:
    scale, answers = 1e-6, []
    for batch in asking.split.batches(asking.width, device=asking.device):
        verdict = asking.judge(batch.images, batch.labels)
        scale = max(scale, float(verdict.logits.abs().max()))
        answers.append((batch.ids.tolist(), verdict.logits))
    asking.tolerance = _ROUNDING * scale
    return _compared(asking, record["clean"], answers)


def _perturbation(
    asking: _Asking, record: AuditRecord, measurement: Measurement, condition: Condition | None
) -> Finding:
    if condition is None:
        return Finding(measurement.key, "unchecked", "how the images were changed does not follow from the seal")
    answers = []
    for batch in asking.split.batches(asking.width, device=asking.device):
        images = condition.apply(batch, record.seed)
        answers.append((batch.ids.tolist(), asking.judge(images, batch.labels).logits))
    return _compared(asking, measurement, answers)


def _compared(asking: _Asking, measurement: Measurement, answers: Sequence[tuple[list[int], Tensor]]) -> Finding:
    """Return whether the predictions are those of the rows, but for what rounding may change."""
    other: list[int] = []
    edge: list[int] = []
    for ids, logits in answers:
        for image, answer in zip(ids, logits, strict=True):
            said = asking.rows[image].predictions.get(measurement.key, -1)
            if int(answer.argmax()) == said:
                continue
            known = 0 <= said < len(answer) and float(answer.max() - answer[said]) <= asking.tolerance
            (edge if known else other).append(image)
    count, n = measurement.correct.count, measurement.correct.n
    if other:
        says = f"{len(other)} of {n} images are classified otherwise than it says"
        return Finding(measurement.key, "refuted", says, tuple(other))
    if edge:
        return Finding(
            measurement.key, "unchecked", f"{len(edge)} of {n} images differ by less than rounding", tuple(edge)
        )
    return Finding(measurement.key, "confirmed", f"{count} of {n} correct, image by image")


def _ask_kept(asking: _Asking, dossier: Dossier) -> str:
    """Ask about every kept image, and return why some could not be read; nothing if all were."""
    places = {image: place for place, image in enumerate(asking.split.ids.tolist())}
    problems = []
    for kept in dossier.record.adversarial:
        try:
            place = _said_place(kept, dossier)
            for ids, points in _batched(dossier, kept, asking.width):
                _ask_points(asking, place, ids, points, places)
        except UserError as error:
            problems.append(str(error))
    return "; ".join(problems)


def _said_place(kept: KeptFile, dossier: Dossier) -> _Kept:
    fields = dict(kept.threat)
    norm = str(fields.pop("norm", ""))
    if norm not in THREATS:
        dossier.plan()  # refuses classes of others, unless they are trusted
    cls = look_up(THREATS, norm, "norm")
    try:
        return _Kept(norm, cls(**fields))
    except TypeError as error:
        raise UserError(f"{kept.file} names no threat ({error})") from error


def _batched(dossier: Dossier, kept: KeptFile, width: int) -> Iterator[tuple[list[int], list[Tensor]]]:
    ids: list[int] = []
    points: list[Tensor] = []
    for image, point in read_packed(dossier.directory / kept.file):
        ids.append(image)
        points.append(point)
        if len(ids) == width:
            yield ids, points
            ids, points = [], []
    if ids:
        yield ids, points


def _ask_points(
    asking: _Asking, kept: _Kept, ids: Sequence[int], points: Sequence[Tensor], places: Mapping[int, int]
) -> None:
    rows = [row for row, image in enumerate(ids) if image in places]
    if not rows:
        return
    batch = next(iter(asking.split.subset(torch.tensor([places[ids[row]] for row in rows])).batches(len(rows))))
    problems = [_misplaced(kept.threat, points[row], image) for row, image in zip(rows, batch.images, strict=True)]
    for row, problem in zip(rows, problems, strict=True):
        asking.points[kept.norm, ids[row]] = _Point(kept.threat.epsilon, problem)
    sound = [place for place, problem in enumerate(problems) if not problem]
    if not sound:
        return
    adversarial = torch.stack([points[rows[place]] for place in sound]).to(asking.device)
    labels = batch.labels[sound]
    verdict = asking.judge(adversarial, labels)
    for number, place in enumerate(sound):
        if int(verdict.predictions[number]) == int(labels[number]):
            edge = float(verdict.margins[number]) >= -asking.tolerance
            problem = "the model recognises it" + (", by less than rounding" if edge else "")
            asking.points[kept.norm, ids[rows[place]]] = _Point(kept.threat.epsilon, problem, edge)


def _misplaced(threat: Threat, point: Tensor, image: Tensor) -> str:
    """Return why a point is not within a threat, in float64: beyond epsilon * (1 + 1e-5) + 1e-7 or outside the box."""
    if point.shape != image.shape:
        return f"it has the shape {tuple(point.shape)}, the clean image {tuple(image.shape)}"
    low, high = (float(value) for value in torch.aminmax(point))
    if not (low >= 0 and high <= 1):  # also true for NaN
        return f"its values lie in [{low:.6g}, {high:.6g}]"
    size = float(threat.size((point.double() - image.double())[None]))
    if not size <= threat.epsilon * (1 + 1e-5) + 1e-7:
        return f"it is {size:.7g} away from the clean image, outside {threat}"
    return ""


def _attack(asking: _Asking, record: AuditRecord, measurement: Measurement, unread: str) -> Finding:
    """Return whether every image that is said to be broken is, by a kept image within this threat."""
    refuted: dict[int, str] = {}
    missing: list[int] = []
    for row in record.rows:
        if not row.stands("clean") or row.stands(measurement.key):
            continue
        point = _point_within(asking, measurement, row.id)
        if point is None or point.edge:
            missing.append(row.id)
        elif point.problem:
            refuted[row.id] = point.problem
    count, n = measurement.correct.count, measurement.correct.n
    if refuted:
        image, problem = next(iter(refuted.items()))
        says = f"not shown by {len(refuted)} of the kept images; the first, of image {image}: {problem}"
        return Finding(measurement.key, "refuted", says, tuple(refuted))
    if missing:
        why = unread or "they were not kept, or fall short by less than rounding"
        says = f"at most {count + len(missing)} of {n} correct is sure; {len(missing)} could not be shown broken: {why}"
        return Finding(measurement.key, "unchecked", says, tuple(missing))
    return Finding(measurement.key, "confirmed", f"at most {count} of {n} correct")


def _point_within(asking: _Asking, measurement: Measurement, image: int) -> _Point | None:
    said = measurement.threat or {}
    point = asking.points.get((str(said.get("norm")), image))
    return point if point is not None and point.epsilon <= float(said.get("epsilon", 0.0)) else None


def _hidden(asking: _Asking, record: AuditRecord) -> list[Finding]:
    """Return the images that a kept one breaks although every attack within some radius is said to have failed."""
    hidden = []
    for (norm, image), point in asking.points.items():
        row = asking.rows[image]
        if point.problem or not row.stands("clean"):
            continue
        fell: dict[float, bool] = {}
        for m in record.of("attack"):
            if m.threat and m.threat["norm"] == norm and m.strength is not None and m.strength >= point.epsilon:
                fell[m.strength] = fell.get(m.strength, False) or not row.stands(m.key)
        if not all(fell.values()):
            hidden.append(image)
    if not hidden:
        return []
    says = f"{len(hidden)} kept images break the model where the record says that every attack failed"
    return [Finding("worst case", "refuted", says, tuple(hidden))]
