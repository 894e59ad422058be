"""Do gradients tell an attack where to go? They must be there, not be 0, and agree with how the logits change."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from robustpeft.attacks import margin
from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.in_float32 import InFloat32
from robustpeft.auditing.checks.question import Question
from robustpeft.auditing.checks.slopes import slope_mismatch
from robustpeft.records import Check
from robustpeft.types import Noise, Threat

__all__ = ["confidence_in_range", "gradient_present", "gradient_true"]

_ZERO_PIXELS = 0.5
_SATURATED = 0.25

PRESENT = Question(
    "gradient_present",
    "The input gradient is there and is not 0",
    "model",
    "Replace what has no useful gradient by something that has one (BPDA), and search by queries: square.",
)
TRUE = Question(
    "gradient_true",
    "The input gradient agrees with how the logits change",
    "model",
    "Something in the model hides or replaces its gradient: attack by queries, or differentiate a smooth twin.",
)
CONFIDENCE = Question(
    "confidence_in_range",
    "Logits are not so large that cross-entropy is flat in float32",
    "model",
    "Attack with loss=margin or loss=dlr, which do not saturate.",
)


def gradient_present(case: Case) -> Check:
    """Return whether every image of the sample has a gradient of its margin at a random point of the threat.

    A gradient of exactly 0 on one image is in doubt, on a tenth of them a failure; so is one that is not finite or
    not there. More than half of all pixels with a gradient of exactly 0 is in doubt too.

    Cost:
        1 forward and 1 backward for every image of the sample.

    Source: flags of AutoAttack (a zero gradient of the DLR on any image); Pintor et al. 2022, arXiv:2106.09947,
    unavailable gradients. Ours adds the share of pixels, and a share of images where theirs flags one.
    """
    gradient = _gradient(case, _start(case), lambda logits: margin(logits, case.sample.labels))
    if gradient is None:
        return PRESENT.fails("The logits carry no gradient back to the images.")
    count = len(gradient)
    lost = int((~torch.isfinite(gradient).flatten(1).all(dim=1)).sum())
    if lost:
        return PRESENT.fails(f"The gradient is not finite on {lost} of {count} images.")
    still = int((gradient.flatten(1).abs().amax(dim=1) == 0).sum())
    share = float((gradient == 0).float().mean())
    found = f"The gradient is exactly 0 on {still} of {count} images, and at {100 * share:.0f} % of all pixels."
    if still > 0.1 * count:
        return PRESENT.fails(found)
    return PRESENT.warns(found) if still or share > _ZERO_PIXELS else PRESENT.passes(found)


def gradient_true(case: Case) -> Check:
    """Return whether differences of the logits over small steps are those that the gradient predicts.

    In doubt where they disagree on more than a quarter of the images, a failure on more than half; see
    `slope_mismatch`. Products that a model with float32 parameters computes in half precision (autocast) are computed
    in float32 here: the tolerance stays that of float32, and a straight-through gradient cannot hide behind rounding.

    Cost:
        5 forwards and 1 backward for every image of the sample.
    """
    if _narrow(case):
        return TRUE.skips("Half precision rounds away the small differences that would be compared.")
    with InFloat32():
        wrong, counted = slope_mismatch(case.view, case.sample)
    if counted == 0:
        return TRUE.fails("The logits do not change over small steps, nor does the gradient say that they would.")
    found = f"Gradient and small differences agree on {counted - wrong} of {counted} images."
    if 2 * wrong > counted:
        return TRUE.fails(found)
    return TRUE.warns(found) if 4 * wrong > counted else TRUE.passes(found)


def confidence_in_range(case: Case) -> Check:
    """Return whether at most a quarter of the images have a textbook cross-entropy of gradient exactly 0.

    Cost:
        1 forward and 1 backward for every image of the sample.
    """
    labels = case.sample.labels
    gradient = _gradient(case, case.sample.images, lambda logits: F.cross_entropy(logits, labels, reduction="none"))
    if gradient is None:
        return CONFIDENCE.skips("There is no gradient to look at.")
    still = int((gradient.flatten(1).abs().amax(dim=1) == 0).sum())
    found = f"Cross-entropy is flat on {still} of {len(labels)} images; the largest logit is {case.scale:.3g}."
    return CONFIDENCE.warns(found) if still > _SATURATED * len(labels) else CONFIDENCE.passes(found)


def _start(case: Case) -> Tensor:
    """Return a random point of the main threat for every image; without one, the images."""
    threat: Threat | None = case.threat
    images = case.sample.images
    if threat is None:
        return images
    noise = Noise(case.setting.seed, case.sample.ids, "gradient check")
    return threat.within(images, images + threat.random(noise, tuple(images.shape[1:])).to(images.dtype))


def _gradient(case: Case, points: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor | None:
    with torch.enable_grad():
        points = points.detach().clone().requires_grad_(True)
        value = loss(case.view(points).float()).sum()
        if not value.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(value, points, allow_unused=True)
    return gradient


def _narrow(case: Case) -> bool:
    parameters = getattr(case.model, "parameters", None)
    kinds = {p.dtype for p in parameters()} if callable(parameters) else set()
    return bool(kinds & {torch.float16, torch.bfloat16})
