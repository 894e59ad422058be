"""What does an attacker achieve who has the public network alone? Images made there, judged here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robustpeft.attacks import PGD
from robustpeft.auditing.conditions import Condition, public_condition
from robustpeft.auditing.measure import Outcome, Setting
from robustpeft.auditing.plan import AuditPlan
from robustpeft.auditing.progress import Pace
from robustpeft.records import Subject
from robustpeft.types import Attackable, Classifier, attack_view

__all__ = ["borrowed_condition", "measure_borrowed"]

_GOOD = 0.75  # of what the nearest mean gets right, which saw these very images: then the own head knows the classes


@dataclass(frozen=True)
class Public:
    """The network without its adapter, as an attacker would use it.

    Args:
        view: Images to logits.
        right: Of the images, so many are classified correctly.
        head: Which head it has, in words.
    """

    view: Classifier
    right: int
    head: str


def borrowed_condition(plan: AuditPlan, model: Classifier, subject: Subject) -> Condition | None:
    """Return the condition under which images come from the model without its adapter; None if there is none."""
    return public_condition(plan) if subject.method is not None and isinstance(model, Attackable) else None


def measure_borrowed(
    condition: Condition,
    model: Attackable,
    setting: Setting,
    clean: Outcome,
    pace: Pace,
    keep: Callable[[dict[int, Tensor]], None] | None = None,
) -> Outcome:
    """Return the model's predictions on images that were attacked on its public network.

    An image that is misclassified as it is is not attacked: its prediction stands.

    Args:
        condition: From `borrowed_condition`.
        model: Judged; without its adapter, attacked.
        setting: Images and judge.
        clean: The model's answers to the clean images.
        pace: Told how far it is.
        keep: Given what broke the model, adversarial images (3, h, w) by image id.

    Cost:
        Of the network without its adapter 2 forwards an image, and for each that is right 21 forwards and 20 backwards;
        of the model 1 forward for each of these: its owner sees one question an image.
    """
    start = time.perf_counter()
    threat, attack = condition.threat, condition.change
    assert threat is not None
    assert isinstance(attack, PGD)
    public = _public(model, setting)
    predictions = clean.predictions.clone()
    done = forwards = backwards = 0
    for batch in setting.split.batches(setting.width, device=setting.device):
        rows = slice(done, done + len(batch.labels))
        right = (predictions[rows] == batch.labels.cpu()).nonzero().flatten()
        done += len(batch.labels)
        if len(right):
            here = right.to(batch.images.device)
            images, labels, ids = batch.images[here], batch.labels[here], batch.ids[here]
            points = attack(public.view, images, labels, threat, seed=setting.seed, ids=ids)
            answered = setting.judge(points, labels).predictions
            predictions[rows.start + right] = answered
            if keep is not None:
                keep({int(ids[row]): points[row] for row in (answered != labels.cpu()).nonzero().flatten()})
            forwards += (attack.steps + 2) * len(right)
            backwards += attack.steps * len(right)
        correct = int((predictions[:done] == setting.split.labels[:done]).sum())
        pace.tell(condition, done, correct, time.perf_counter() - start)
    note = f"Made on the network without its adapter, {public.head}: {public.right} of {done} images are right there."
    return Outcome(predictions, {}, forwards + 2 * done, backwards, time.perf_counter() - start, note=note)


def _public(model: Attackable, setting: Setting) -> Public:
    """Return the twin without the adapter, under its own head if that knows the classes, else the nearest class mean.

    Where tuning came with a new head, the network's own knows other classes. The means are those of the features of
    the very images that are attacked, which is more than an attacker has.
    """
    with model.disabled():
        twin = attack_view(model)
    features = getattr(twin, "features", None)
    labels = setting.split.labels
    own, embedded = _look(twin, features, setting)
    right = int((own.argmax(dim=1) == labels).sum())
    if embedded is None:
        return Public(twin, right, "its own head")
    classes, width = torch.tensor(sorted(set(labels.tolist()))), max(len(setting.classes), int(labels.max()) + 1)
    means = torch.stack([embedded[labels == c].mean(dim=0) for c in classes])
    nearest = classes[torch.cdist(embedded, means).argmin(dim=1)]
    if right >= _GOOD * int((nearest == labels).sum()):
        return Public(twin, right, "its own head")
    view = _nearest_mean(features, means.to(setting.device), classes.to(setting.device), width)
    return Public(view, int((nearest == labels).sum()), "by the nearest class mean of its features")


@torch.no_grad()
def _look(twin: Classifier, features: Callable[[Tensor], Tensor] | None, setting: Setting) -> tuple[Tensor, Any]:
    """Return logits (n, k) and, if it has some, features (n, d) of all clean images."""
    logits, embedded = [], []
    for batch in setting.split.batches(setting.width, device=setting.device):
        logits.append(twin(batch.images.clone()).float().cpu())
        if features is not None:
            embedded.append(features(batch.images.clone()).float().cpu())
    return torch.cat(logits), torch.cat(embedded) if embedded else None


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
