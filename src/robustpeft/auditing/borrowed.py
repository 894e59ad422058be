"""What does an attacker achieve who has the public network alone? Images made there, judged here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from robustpeft.attacks import PGD
from robustpeft.attacks.containment import check_within
from robustpeft.auditing.commons import Commons, Shelf
from robustpeft.auditing.conditions import Condition
from robustpeft.auditing.measure import Outcome, Setting
from robustpeft.auditing.plan import AuditPlan
from robustpeft.auditing.progress import Pace
from robustpeft.records import Seal, Subject
from robustpeft.types import Attackable, Classifier, Threat, attack_view

__all__ = ["borrowed_condition", "measure_borrowed", "shelf_of"]

_GOOD = 0.75  # of what the nearest mean gets right, which saw these very images: then the own head knows the classes
_ATTACK = PGD(steps=20, loss="margin")


@dataclass(frozen=True)
class Public:
    """The network without its adapter, as an attacker would use it.

    Args:
        view: Images to logits.
        right: Of the images, so many are classified correctly.
        head: Which head it has, in words.
        forwards: What finding that out cost this audit, in images.
    """

    view: Classifier
    right: int
    head: str
    forwards: int


def borrowed_condition(plan: AuditPlan, subject: Subject) -> Condition | None:
    """Return the condition under which images come from the model without its adapter; None if there is none."""
    if not (plan.transfer and plan.attacks and plan.epsilons) or subject.method is None:
        return None
    threat = plan.threats[-1]
    return Condition(f"transfer@{str(threat).replace(' ', ':')}", _ATTACK, threat, source="transfer")


def shelf_of(commons: Commons | None, condition: Condition, setting: Setting, seal: Seal) -> Shelf | None:
    """Return where audits of the same public network keep the images of this condition; None if nothing is shared."""
    if commons is None or condition.threat is None:
        return None
    return commons.shelf(seal, setting, _ATTACK, condition.threat)


def measure_borrowed(
    condition: Condition,
    model: Attackable,
    setting: Setting,
    clean: Outcome,
    pace: Pace,
    on_found: Callable[[int, int, Tensor], None] | None = None,
    shelf: Shelf | None = None,
) -> Outcome:
    """Return the model's predictions on images that were attacked on its public network.

    An image that is misclassified as it is is not attacked: its prediction stands. Passes have one shape, so that the
    image made for one model is bit for bit the one that would be made for its sibling.

    Args:
        condition: As `borrowed_condition` gives it.
        model: Judged as it is; attacked without its adapter.
        setting: The images.
        clean: What the model answers on them.
        pace: Told after every batch.
        on_found: Called with the id of an image, the number of the radius (-1: the last), and what broke it (3, h, w).
        shelf: What audits of the same public network share; None for nothing.

    Cost:
        Of the network without its adapter 2 forwards an image, and for each that is right 21 forwards and 20 backwards,
        less what lies on the shelf; of the model 1 forward for each that is right: its owner sees one question each.
    """
    start = time.perf_counter()
    threat = condition.threat
    assert threat is not None
    public = _public(model, setting, shelf)
    predictions, labels = clean.predictions.clone(), setting.split.labels
    right = (predictions == labels).nonzero().flatten()
    n, done = len(labels), len(labels) - len(right)
    made = 0
    for places, points, ours in _points(public.view, setting, right, threat, shelf):
        answered = setting.judge(points, labels[places]).predictions
        predictions[places] = answered
        if on_found is not None:
            for row in (answered != labels[places]).nonzero().flatten().tolist():
                on_found(int(setting.split.ids[places[row]]), -1, points[row])
        done += len(places)
        made += ours
        correct = int((predictions[right] == labels[right]).sum()) - (n - done)
        pace.tell(condition, done, max(correct, 0), time.perf_counter() - start)
    note = f"Made on the network without its adapter, {public.head}: {public.right} of {n} images are right there."
    if made < len(right):
        note += f" {len(right) - made} of {len(right)} adversarial images come from an earlier audit of the same pass."
    forwards = (_ATTACK.steps + 1) * made + len(right) + public.forwards
    return Outcome(predictions, {}, forwards, _ATTACK.steps * made, time.perf_counter() - start, note=note)


def _points(
    view: Classifier, setting: Setting, right: Tensor, threat: Threat, shelf: Shelf | None
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Yield places in the split, the adversarial images there, and how many of them this audit paid for."""
    known = {} if shelf is None else shelf.points()
    ids = setting.split.ids
    met = torch.tensor([int(ids[place]) in known for place in right.tolist()], dtype=torch.bool)
    keeper = None if shelf is None else shelf.keeper()
    for places in _batches(right[~met], setting.width):
        batch = next(iter(setting.split.subset(places).batches(len(places), device=setting.device)))
        rows = torch.arange(setting.width, device=batch.images.device) % len(places)  # one shape, whoever comes along
        points = _ATTACK(view, batch.images[rows], batch.labels[rows], threat, seed=setting.seed, ids=batch.ids[rows])[
            : len(places)
        ]
        if keeper is not None and shelf is not None:
            keeper.save(shelf.by, dict(zip(batch.ids.tolist(), points, strict=True)))
        yield places, points, len(places)
    if keeper is not None:
        keeper.merge()
    for places in _batches(right[met], setting.width):
        assert shelf is not None
        found = [known[int(ids[place])] for place in places.tolist()]
        kept = [shelf.read(path, int(ids[place])) for (path, _), place in zip(found, places.tolist(), strict=True)]
        points = torch.stack(kept).to(setting.device)
        batch = next(iter(setting.split.subset(places).batches(len(places), device=setting.device)))
        check_within(points, batch.images, threat, "an image from an earlier audit of the same pass")
        yield places, points, sum(not theirs for _, theirs in found)


def _batches(places: Tensor, width: int) -> Iterator[Tensor]:
    yield from (part for part in torch.split(places, width) if len(part))


def _public(model: Attackable, setting: Setting, shelf: Shelf | None) -> Public:
    """Return the twin without the adapter, under its own head if that knows the classes, else the nearest class mean.

    Where tuning came with a new head, the network's own knows other classes. The means are those of the features of
    the very images that are attacked, which is more than an attacker has.
    """
    with model.disabled():
        twin = attack_view(model)
    features = getattr(twin, "features", None)
    labels = setting.split.labels
    kept = None if shelf is None else shelf.look()
    answers, theirs = (_look(twin, features, setting), False) if kept is None else kept
    if kept is None and shelf is not None:
        shelf.keep_look(answers)
    own, embedded, forwards = answers["logits"], answers.get("features"), 0 if theirs else 2 * len(labels)
    right = int((own.argmax(dim=1) == labels).sum())
    if embedded is None:
        return Public(twin, right, "its own head", forwards)
    classes, width = torch.tensor(sorted(set(labels.tolist()))), max(len(setting.classes), int(labels.max()) + 1)
    means = torch.stack([embedded[labels == c].mean(dim=0) for c in classes])
    nearest = classes[torch.cdist(embedded, means).argmin(dim=1)]
    if right >= _GOOD * int((nearest == labels).sum()):
        return Public(twin, right, "its own head", forwards)
    view = _nearest_mean(features, means.to(setting.device), classes.to(setting.device), width)
    return Public(view, int((nearest == labels).sum()), "by the nearest class mean of its features", forwards)


@torch.no_grad()
def _look(twin: Classifier, features: Callable[[Tensor], Tensor] | None, setting: Setting) -> dict[str, Tensor]:
    """Return ``logits`` (n, k) and, if it has some, ``features`` (n, d) of all clean images."""
    logits, embedded = [], []
    for batch in setting.split.batches(setting.width, device=setting.device):
        logits.append(twin(batch.images.clone()).float().cpu())
        if features is not None:
            embedded.append(features(batch.images.clone()).float().cpu())
    return {"logits": torch.cat(logits)} | ({"features": torch.cat(embedded)} if embedded else {})


def _nearest_mean(
    features: Callable[[Tensor], Tensor] | None, means: Tensor, classes: Tensor, width: int
) -> Classifier:
    """Return ``logit_c = -|features(x) - mean_c|^2``; a class without a mean is never the answer."""
    assert features is not None

    def view(images: Tensor, /) -> Tensor:
        distance = (features(images).float()[:, None] - means).square().sum(dim=2)
        logits = distance.new_full((len(images), width), -1e6)
        return logits.index_copy(1, classes, -distance)

    return view
