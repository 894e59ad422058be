"""Are images, labels and model what they are said to be? If not, no number means anything."""

from __future__ import annotations

import math
from collections import Counter

import torch
from torch import Tensor, nn

from robustpeft.attacks.findings import read_clean_extra
from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.fingerprint import fingerprint
from robustpeft.auditing.checks.question import Question
from robustpeft.records import Check
from robustpeft.types import frozen_twin

__all__ = ["data_identity", "eval_mode", "input_range", "label_order", "labels_valid", "model_unchanged"]

_SLACK = 1e-6
_SIGNIFICANT = 12.0  # square of 3.5 standard deviations: once in 2,000

INPUT_RANGE = Question(
    "input_range",
    "Images lie in [0, 1]",
    "integrity",
    "Give images in pixel units on [0, 1]; normalisation belongs inside the model.",
)
LABELS = Question(
    "labels_valid", "Every label is a class of the model", "integrity", "Map the labels of the data to the model's."
)
ORDER = Question(
    "label_order",
    "Labels and outputs come in the same order",
    "integrity",
    "Put the data's classes into the model's order; the two common ones are by name and by number.",
)
MODE = Question(
    "eval_mode",
    "Nothing of the model is in training mode when it answers",
    "integrity",
    "Do not switch to training mode in the forward pass; an audit is of the model as it is deployed.",
)
UNCHANGED = Question(
    "model_unchanged",
    "The audit left the model as it was",
    "integrity",
    "Let the forward pass write nothing: no counters, running statistics or caches in eval mode.",
)
IDENTITY = Question(
    "data_identity", "Every image counts once", "integrity", "Leave copies out, and make the ids of images unique."
)


def input_range(case: Case) -> Check:
    """Return whether the images of the sample are finite and in [0, 1]."""
    images = case.sample.images
    low, high = (float(value) for value in torch.aminmax(images))
    found = f"{len(case.sample)} images, values from {low:.4g} to {high:.4g}."
    if math.isfinite(low) and low >= -_SLACK and high <= 1 + _SLACK:
        return INPUT_RANGE.passes(found)
    hint = " They look like 8-bit values." if high > 8 else " They look normalised." if low < 0 else ""
    return INPUT_RANGE.fails(found + hint)


def labels_valid(case: Case) -> Check:
    """Return whether all labels are columns of the logits; the attacks go by them, not by what the model says."""
    labels, width = case.setting.split.labels, case.logits.shape[1]
    outside = int(((labels < 0) | (labels >= width)).sum())
    if outside:
        return LABELS.fails(f"{outside} of {len(labels)} labels are not in [0, {width}).")
    present = len(set(labels.tolist()))
    return LABELS.passes(f"{len(labels)} labels, {present} of {width} classes occur; attacks go by these labels.")


def label_order(case: Case) -> Check:
    """Return whether some classes are exchanged for one another: a cycle of majorities in the confusion matrix.

    The images of each class of a cycle must mostly be called the next, and all of them together more often than by
    their own names by 3.5 standard deviations.
    """
    predictions, labels = case.clean.predictions, case.setting.split.labels
    classes = len(case.setting.classes)
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    confusion.index_put_((labels, predictions), torch.ones_like(labels), accumulate=True)
    for cycle in _cycles(confusion):
        others = sum(int(confusion[c, d]) for c, d in cycle)
        own = sum(int(confusion[c, c]) for c, _ in cycle)
        if others > own and (others - own) ** 2 >= _SIGNIFICANT * (others + own):
            named = ", ".join(f"{case.setting.classes[c]} is called {case.setting.classes[d]}" for c, d in cycle[:5])
            return ORDER.fails(f"{named}: {others} images, against {own} called by their own names.")
    return ORDER.passes(f"No classes are exchanged in {len(labels)} clean predictions.")


def _cycles(confusion: Tensor) -> list[list[tuple[int, int]]]:
    """Return the cycles of more than one class in which the majority of each class is called the next."""
    most, called = confusion.max(dim=1)
    majority = {c: int(called[c]) for c in range(len(confusion)) if 2 * int(most[c]) > int(confusion[c].sum())}
    cycles, seen = [], set[int]()
    for start in majority:
        path: list[int] = []
        at = start
        while at in majority and at not in seen:
            seen.add(at)
            path.append(at)
            at = majority[at]
        if at in path and len(ring := path[path.index(at) :]) > 1:
            cycles.append([(c, majority[c]) for c in ring])
    return cycles


def eval_mode(case: Case) -> Check:
    """Return whether every module of a twin in eval mode still is after it answered."""
    if not isinstance(case.model, nn.Module):
        return MODE.skips("The model is a plain callable: it has no modes to look at.")
    twin = frozen_twin(case.model, fold=False)
    dtype = next((p.dtype for p in twin.parameters() if p.is_floating_point()), torch.float32)
    with torch.no_grad(), torch.random.fork_rng([case.setting.device] if case.setting.device.type == "cuda" else []):
        twin(case.sample.images.to(dtype))
    training = [name or "the model" for name, module in twin.named_modules() if module.training]
    if training:
        return MODE.fails(f"In training mode after one forward pass: {', '.join(training[:3])}.")
    return MODE.passes(f"All {sum(1 for _ in twin.modules())} modules answer in eval mode.")


def model_unchanged(case: Case) -> Check:
    """Return whether tensors, gradients, modes and the global random state are as before the audit."""
    if changed := case.before.differences(fingerprint(case.model)):
        return UNCHANGED.fails(f"Changed during the audit: {'; '.join(changed)}.")
    count = len(case.before.parameters) + len(case.before.buffers)
    return UNCHANGED.passes(f"{count} tensors, gradients, training modes and the random state are as before.")


def data_identity(case: Case) -> Check:
    """Return whether ids are unique, and pixels too, as far as the attacks have looked at them."""
    ids = case.setting.split.ids.tolist()
    if len(set(ids)) < len(ids):
        return IDENTITY.fails(f"{len(ids) - len(set(ids))} of {len(ids)} ids occur more than once.")
    findings = case.keepsake.findings
    rows = [] if findings is None else [row for image in ids if (row := findings.clean(image)) is not None]
    if not rows:
        return IDENTITY.passes(f"{len(ids)} ids, all different; pixels were not compared.")
    contents = Counter(read_clean_extra(row.extra)[0] for row in rows)
    copies = len(rows) - len(contents)
    digest = case.setting.split.digest[:12]
    if copies:
        return IDENTITY.warns(f"{copies} of {len(rows)} images have the pixels of another one; data digest {digest}.")
    return IDENTITY.passes(f"{len(rows)} images, all different; data digest {digest}.")
