"""Are images, labels and model what they are said to be? If not, no number means anything."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

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
_SLACK_OF_MODE = 1e-2  # of the largest logit: more than another batch size changes in half precision
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
    "Call eval() on the whole model, and do not switch back in the forward pass.",
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
    """Return whether every module of a twin in eval mode still is after it answered, and none was left out of it.

    A model in training mode as a whole is audited in eval mode, as it is meant to be deployed. One whose parts differ
    was meant to be in eval mode already: if it answers otherwise than its twin there, the audit is of another model.

    Cost:
        1 forward for every image of the sample; 3 where the modes of the parts differ.
    """
    if not isinstance(case.model, nn.Module):
        return MODE.skips("The model is a plain callable: it has no modes to look at.")
    twin = frozen_twin(case.model, fold=False)
    _ask(twin, case)
    if training := _in_training(twin):
        return MODE.fails(f"In training mode after one forward pass: {', '.join(training[:3])}.")
    left = [] if case.model.training else _in_training(case.model)
    if left and (change := _change_by_mode(case, left)) > _SLACK_OF_MODE:
        return MODE.fails(
            f"Left in training mode: {', '.join(left[:3])}; answers change by {change:.2g} of themselves."
        )
    return MODE.passes(f"All {sum(1 for _ in twin.modules())} modules answer in eval mode.")


def _ask(twin: nn.Module, case: Case) -> Tensor:
    dtype = next((p.dtype for p in twin.parameters() if p.is_floating_point()), torch.float32)
    with torch.no_grad(), torch.random.fork_rng([case.setting.device] if case.setting.device.type == "cuda" else []):
        torch.manual_seed(0)
        logits: Tensor = twin(case.sample.images.to(dtype))
    return logits.float()


def _in_training(model: nn.Module) -> list[str]:
    return [name or "the model" for name, module in model.named_modules() if module.training]


def _change_by_mode(case: Case, names: Sequence[str]) -> float:
    """Return by how much, in units of the largest logit, answers differ with these modules in training mode."""
    assert isinstance(case.model, nn.Module)
    as_given = frozen_twin(case.model, fold=False)
    for name, module in as_given.named_modules():
        module.training = name in names
        for key, buffer in module._buffers.items():  # statistics that training moves are shared with the model
            module._buffers[key] = None if buffer is None else buffer.clone()
    return float((_ask(as_given, case) - case.logits.to(case.setting.device)).abs().max()) / case.scale


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
