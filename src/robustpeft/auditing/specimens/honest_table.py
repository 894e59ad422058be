"""Which honest models are there? One line each, with what makes them look suspicious."""

from __future__ import annotations

from collections.abc import Mapping

from robustpeft.auditing.specimens import honest_forms as forms, resizing, voting
from robustpeft.auditing.specimens.base import Build, Honest

__all__ = ["HONEST"]


def _honest(build: Build, why_suspected: str) -> Honest:
    return Honest(build.__name__, why_suspected, build)


_ALL = (
    _honest(forms.undefended, "nothing: every attack succeeds"),
    _honest(forms.smooth, "it is flatter than most, and single steps do nearly as well as many"),
    _honest(forms.batch_norm_in_eval, "its layers have statistics, as those that look at their batch do"),
    _honest(forms.layer_scale, "its weights are large and its scales small"),
    _honest(forms.half_precision, "its logits are coarse, and depend a little on how a batch is cut"),
    _honest(forms.autocast, "its gradients are coarse"),
    _honest(forms.log_probabilities, "its outputs come from a softmax"),
    _honest(forms.centred_logits, "a part of its graph is detached"),
    _honest(forms.cooled, "its gradients are small"),
    _honest(forms.warmed, "its confidence is high"),
    _honest(forms.cropped, "the gradient of many pixels is exactly zero"),
    _honest(forms.checkpointed, "it calls autograd within autograd"),
    _honest(forms.with_adapter, "its folded form differs by rounding"),
    _honest(resizing.resized_with_gradient, "it takes high frequencies away, with their gradient"),
    _honest(voting.soft_ensemble, "it is an ensemble, and its outputs come from probabilities"),
)

HONEST: Mapping[str, Honest] = {honest.name: honest for honest in _ALL}
"""The honest models by name."""
