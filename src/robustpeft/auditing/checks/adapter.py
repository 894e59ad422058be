"""Is the adapter there, and does the adversary see it? Asked of any model that can show itself without it."""

from __future__ import annotations

import torch
from torch import Tensor

from robustpeft.attacks import Judge
from robustpeft.attacks.subject import in_its_precision
from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.question import Question
from robustpeft.auditing.checks.slopes import slope_mismatch
from robustpeft.records import Check
from robustpeft.types import Attackable, Classifier, attack_view

__all__ = ["adapter_active", "adapter_gradient", "folded_parity"]

_TOLERANCE = {torch.float16: 5e-2, torch.bfloat16: 2e-1}
_TOLERANCE_FLOAT32 = 1e-3

PARITY = Question(
    "folded_parity",
    "The folded model that is attacked answers like the model that is judged",
    "integrity",
    "Merging changes the answers: look at scaling, dropout and precision of the merged branches.",
)
ACTIVE = Question(
    "adapter_active",
    "The adapter changes the answers",
    "integrity",
    "The adapter does nothing: load its weights, attach it to the model that is asked, or train it.",
)
GRADIENT = Question(
    "adapter_gradient",
    "Gradients flow through the adapter",
    "strength",
    "Keep the adapter's path differentiable (no detach, no rounding), or attack it by queries.",
)
_NO_ADAPTER = "The model has no adapter."


def folded_parity(case: Case) -> Check:
    """Return whether view and judge agree on the sample, to 1e-3 of the largest logit in float32.

    Cost:
        1 forward for every image of the sample.
    """
    if not isinstance(case.model, Attackable):
        return PARITY.skips("The model is attacked as it is; nothing is folded.")
    difference = float((_logits(case.view, case) - case.logits).abs().max()) / case.scale
    found = f"Logits differ by at most {difference:.2g} of the largest one on {len(case.sample)} images."
    return PARITY.passes(found) if difference <= _tolerance(case) else PARITY.fails(found)


def adapter_active(case: Case) -> Check:
    """Return whether the logits change when the adapter is switched off.

    Cost:
        1 forward for every image of the sample.
    """
    if not isinstance(case.model, Attackable) or case.subject.method is None:
        return ACTIVE.skips(_NO_ADAPTER)
    with case.model.disabled():
        without = Judge(case.model, case.setting.width)(case.sample.images, case.sample.labels)
    difference = float((without.logits - case.logits).abs().max()) / case.scale
    turned = int((without.logits.argmax(dim=1) != case.logits.argmax(dim=1)).sum())
    found = (
        f"Without the adapter logits differ by up to {difference:.2g} of the largest one, and {turned} of "
        f"{len(case.sample)} predictions are others."
    )
    return ACTIVE.passes(found) if difference > 1e-5 else ACTIVE.fails(found)


def adapter_gradient(case: Case) -> Check:
    """Return whether the gradient knows how the adapter's part of the answer changes with the image.

    The part is the difference between the logits with and without the adapter; see `slope_mismatch`.

    Cost:
        4 forwards and 2 backwards for every image of the sample.
    """
    if not isinstance(case.model, Attackable) or case.subject.method is None:
        return GRADIENT.skips(_NO_ADAPTER)
    with case.model.disabled():
        without = in_its_precision(case.model, attack_view(case.model))
    if float((_logits(without, case) - case.logits).abs().max()) <= 1e-5 * case.scale:
        return GRADIENT.skips("The adapter does nothing, so there is nothing to go through.")

    def part(images: Tensor) -> Tensor:
        return case.view(images).float() - without(images).float()

    wrong, counted = slope_mismatch(part, case.sample)
    if counted == 0:
        return GRADIENT.skips("The adapter's part changes too little with the image to be measured.")
    found = f"On {counted - wrong} of {counted} images the gradient agrees with how the adapter's part changes."
    return GRADIENT.passes(found) if 2 * wrong <= counted else GRADIENT.fails(found)


def _tolerance(case: Case) -> float:
    parameters = getattr(case.model, "parameters", None)
    first = next(iter(parameters()), None) if callable(parameters) else None
    return _TOLERANCE_FLOAT32 if first is None else _TOLERANCE.get(first.dtype, _TOLERANCE_FLOAT32)


@torch.no_grad()
def _logits(view: Classifier, case: Case) -> Tensor:
    parts = torch.split(case.sample.images, case.setting.width)
    return torch.cat([view(part).float().cpu() for part in parts])
