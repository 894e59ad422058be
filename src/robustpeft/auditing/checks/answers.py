"""Is the model a function of the image? No chance, no neighbours, no memory, and logits rather than probabilities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from robustpeft.attacks import Judge
from robustpeft.attacks.subject import in_its_precision
from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.question import Question
from robustpeft.records import Check
from robustpeft.types import Classifier, attack_view

__all__ = ["deterministic", "logits_not_probabilities", "same_afterwards", "stable_predictions", "stateless"]

_REPEATS = 5
_SAME = 1e-4  # Euclidean distance of logits of length 1, as in the flags of AutoAttack
_SAME_ELSEWHERE = 1e-3  # at another batch size: other kernels
_SAME_NARROW = 5e-2  # half precision
_LEAST_NOISE = 0.5 / 255
_IOAF_NOISE = 4 / 255
_UNSTABLE = 0.05

DETERMINISTIC = Question(
    "deterministic",
    "The same image gets the same answer",
    "model",
    "Average over the model's chance in every step: autoattack:version=rand, or samples=20 in PGD and APGD.",
)
STATELESS = Question(
    "stateless",
    "An answer depends neither on the other images of the batch nor on earlier calls",
    "model",
    "Fix what is normalised or remembered over images; else attack with the batch the model is deployed with.",
)
AFTERWARDS = Question(
    "same_afterwards",
    "After all questions of the attacks the answers are those of the beginning",
    "model",
    "The model counts or remembers questions, so attacks see another model than the first user does: take that out.",
)
LOGITS = Question(
    "logits",
    "The model returns logits, not probabilities",
    "model",
    "Return what goes into the softmax: the attacks' losses are flat on probabilities.",
)
STABLE = Question(
    "stable_predictions",
    "Predictions bear changes below 8-bit rounding",
    "model",
    "A rough decision surface misleads gradients: attack by queries too, or with smoothed gradients.",
)


def deterministic(case: Case) -> Check:
    """Return whether five forwards of the sample agree.

    Cost:
        5 forwards for every image of the sample.

    Source: flags of AutoAttack (Croce and Hein 2020), randomised defences; 1e-4 there too, 5e-2 in half precision.
    """
    answers = [case.setting.judge(case.sample.images, case.sample.labels) for _ in range(_REPEATS)]
    distance = max(_distance(answers[0].logits, other.logits) for other in answers[1:])
    turned = sum(not torch.equal(answers[0].predictions, other.predictions) for other in answers[1:])
    found = f"{_REPEATS} answers to {len(case.sample)} images differ by up to {distance:.2g} (directions of logits)"
    if distance <= _tolerance(case, _SAME) and not turned:
        return DETERMINISTIC.passes(f"{found}.")
    return DETERMINISTIC.fails(f"{found}; predictions differ in {turned} of {_REPEATS - 1} repetitions.")


def stateless(case: Case) -> Check:
    """Return whether answers stay the same in another order, alone, with other neighbours and after other calls.

    Cost:
        About 4 forwards for every image of the sample.
    """
    images, labels = case.sample.images, case.sample.labels
    before = case.logits
    few = slice(0, min(8, len(images)))
    turned = Judge(case.model, len(images))(images.flip(0), labels.flip(0)).logits.flip(0)
    alone = Judge(case.model, 1)(images[few], labels[few]).logits
    strange = torch.cat([images[few], 1 - images[few]])  # the negatives are strange neighbours
    beside = Judge(case.model, len(strange))(strange, labels[few].repeat(2)).logits[: few.stop]
    again = case.setting.judge(images, labels).logits
    distances = {
        "in another order": _distance(before, turned),
        "alone": _distance(before[few], alone),
        "beside other images": _distance(before[few], beside),
        "after other calls": _distance(before, again),
    }
    where = max(distances, key=lambda name: distances[name])
    found = f"Answers differ by up to {distances[where]:.2g} (directions of logits)"
    if distances[where] <= _tolerance(case, _SAME_ELSEWHERE):
        return STATELESS.passes(f"{found} in another order, alone, beside other images and after other calls.")
    if deterministic(case).verdict == "fail":
        return STATELESS.skips(f"{found}, but the model answers at random anyway.")
    return STATELESS.fails(f"{found} {where}.")


def same_afterwards(case: Case) -> Check:
    """Return whether what was attacked answers at the end as a fresh view of the model does.

    It has answered every question of the plan by then, so a limit on their number shows here if it mattered at all.

    Cost:
        3 forwards for every image of the sample.
    """
    used = case.keepsake.view
    if used is None:
        return AFTERWARDS.skips("No attack was tried.")
    fresh = (in_its_precision(case.model, attack_view(case.model)) for _ in range(2))
    before, another, after = (_logits(view, case.sample.images) for view in (*fresh, used))
    found = f"Answers differ by up to {_distance(before, after):.2g} (directions of logits) from those of a fresh view"
    if _distance(before, after) <= _tolerance(case, _SAME_ELSEWHERE):
        return AFTERWARDS.passes(f"{found}.")
    if _distance(before, another) > _tolerance(case, _SAME):  # the judge may have reached the limit too: not asked here
        return AFTERWARDS.skips(f"{found}, but two fresh views differ as well: the model answers at random.")
    return AFTERWARDS.fails(f"{found}.")


def _logits(view: Classifier, images: Tensor) -> Tensor:
    with torch.no_grad():
        return view(images.clone()).float().cpu().clone()


def logits_not_probabilities(case: Case) -> Check:
    """Return whether no row of the logits looks like a softmax.

    Source: flags of AutoAttack: largest entry below 1 + 1e-5, smallest above -1e-5, sum within 1e-5 of 1, in all rows.
    """
    rows = case.logits
    low, high, sums = float(rows.min()), float(rows.max()), rows.double().sum(dim=1)
    found = f"Outputs from {low:.4g} to {high:.4g}, sums from {float(sums.min()):.4g} to {float(sums.max()):.4g}."
    if high < 1 + 1e-5 and low > -1e-5 and bool(((sums - 1).abs() < 1e-5).all()):
        return LOGITS.fails(f"{found} They are probabilities.")
    if float((rows.double().exp().sum(dim=1) - 1).abs().max()) < 1e-5:
        return LOGITS.passes(f"{found} They are logarithms of probabilities, which serve as well.")
    return LOGITS.passes(found)


def stable_predictions(case: Case) -> Check:
    """Return whether at most 5 % of the right predictions turn under random noise of half an 8-bit step.

    Beside it the indicator of Pintor et al.: the mean relative change of the loss under noise of 4/255.

    Cost:
        10 forwards for every image of the sample.

    Source: Pintor et al. 2022, arXiv:2106.09947, Section 3, unstable predictions; there a value without a threshold,
    the mean over 100 draws; here 5, and the threshold is ours and of another noise.
    """
    images, labels = case.sample.images, case.sample.labels
    right = case.logits.argmax(dim=1) == labels.cpu()
    before = F.cross_entropy(case.logits, labels.cpu(), reduction="none")
    generator = torch.Generator().manual_seed(0)
    turned, changes = torch.zeros_like(right), []
    for _ in range(_REPEATS):
        noise = (2 * torch.rand(images.shape, generator=generator) - 1).to(images.device)
        small = case.setting.judge((images + _LEAST_NOISE * noise).clamp(0, 1), labels)
        turned |= right & (small.margins > 0)
        large = case.setting.judge((images + _IOAF_NOISE * noise).clamp(0, 1), labels)
        after = F.cross_entropy(large.logits, labels.cpu(), reduction="none")
        changes.append(((after - before).abs() / torch.where(before == 0, 1.0, before)).clamp(max=1))
    value = float(torch.stack(changes).mean())
    count, of = int(turned.sum()), int(right.sum())
    found = (
        f"{count} of {of} right predictions turn under noise of 0.5/255; under 4/255 the loss changes by "
        f"{value:.2f} of itself (IoAF)."
    )
    return STABLE.warns(found) if count > max(1, _UNSTABLE * of) else STABLE.passes(found)


def _distance(one: Tensor, other: Tensor) -> float:
    """Return the largest Euclidean distance between corresponding rows, each of length 1."""
    return float((F.normalize(one.double(), dim=1) - F.normalize(other.double(), dim=1)).norm(dim=1).max())


def _tolerance(case: Case, usual: float) -> float:
    parameters = getattr(case.model, "parameters", None)
    kinds = {p.dtype for p in parameters()} if callable(parameters) else set()
    return _SAME_NARROW if kinds & {torch.float16, torch.bfloat16} else usual
