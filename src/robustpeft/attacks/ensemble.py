"""How do several searches make one attack? Each works on the images that the ones before it could not break."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from robustpeft.attacks.base import Attack
from robustpeft.attacks.evaluation import Health, evaluate
from robustpeft.attacks.losses import margin
from robustpeft.attacks.target import Target
from robustpeft.types import Classifier, Noise

__all__ = ["Ensemble", "stage_stream"]


@dataclass(frozen=True)
class Ensemble(Attack):
    """An attack of several stages; a subclass says which, by `stages`."""

    @final
    def search(self, view: Classifier, target: Target) -> Tensor:
        """Return, per image, the point of the largest margin that any stage came back with.

        Images that are misclassified as they are, and those that a stage broke, are left out of the later stages.

        Cost:
            2 forwards besides those of the stages: of the clean images, and of what each stage came back with.
        """
        health = Health()
        clean = evaluate(view, target.images, target.labels, health=health).logits
        health.settle()
        best, margins = target.images.clone(), margin(clean, target.labels)
        for number, stage in enumerate(self.stages(clean.shape[1])):
            left = (margins <= 0).nonzero().flatten()
            if len(left) == 0:
                break
            part = dataclasses.replace(target.take(left), noise=_noise(target, left, stage_stream(number, stage)))
            found = stage.search(view, part)
            now = margin(evaluate(view, found, part.labels).logits, part.labels)
            better = now > margins[left]
            best[left[better]] = found[better]
            margins[left] = torch.maximum(now, margins[left])
        return best


def stage_stream(number: int, stage: Attack) -> str:
    """Return the name of the chance that a stage uses: two stages of one class do not repeat each other."""
    return type(stage).__name__ if number == 0 else f"{type(stage).__name__}/{number}"


def _noise(target: Target, rows: Tensor, stream: str) -> Noise:
    return dataclasses.replace(target.noise, ids=target.noise.ids[rows], stream=stream)
