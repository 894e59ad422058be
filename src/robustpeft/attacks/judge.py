"""Is this image misclassified? A verdict in float32 of the model as it is, always asked in batches of one shape.

A matrix product of another shape may differ in the last bit, so a verdict must not depend on how many images happened
to be asked about together. Whatever an attack runs on (folded branches, lower precision), only this answer counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustpeft.attacks.evaluation import check_classes, check_logits
from robustpeft.attacks.losses import margin
from robustpeft.attacks.subject import in_its_precision
from robustpeft.errors import UserError
from robustpeft.types import Classifier, frozen_twin

__all__ = ["Judge", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """The answers to some images, on the CPU.

    Args:
        logits: Float32 (m, k).
        predictions: Int64 (m,).
        margins: Float32 (m,), largest wrong logit minus that of the label.
    """

    logits: Tensor
    predictions: Tensor
    margins: Tensor


class Judge:
    """Asks the model, unfolded, in eval mode, `width` images at a time.

    Args:
        model: A module is asked through a frozen twin of its own, in its own precision; any other callable as it is.
        width: Images in every pass; empty places are filled up.

    Attributes:
        forwards: Passes so far, in images asked about.
    """

    def __init__(self, model: Classifier, width: int) -> None:
        view = frozen_twin(model, fold=False) if isinstance(model, nn.Module) else model
        self._view = in_its_precision(model, view)
        self._width = width
        self.forwards = 0

    @torch.no_grad()
    def __call__(self, images: Tensor, labels: Tensor) -> Verdict:
        """Return the verdict on images (m, 3, h, w) with labels (m,), m of any size.

        Raises:
            UserError: If the answers are no finite logits for such labels.
        """
        asked = [self._ask(part) for part in torch.split(images, self._width) if len(part)]
        logits = torch.cat(asked) if asked else torch.zeros(0, 2)
        labels = labels.cpu()
        if len(labels):
            check_classes(logits, labels, None)
        self.forwards += len(images)
        return Verdict(logits, logits.argmax(dim=1), margin(logits, labels))

    def _ask(self, images: Tensor) -> Tensor:
        missing = self._width - len(images)
        padded = images if missing == 0 else torch.cat([images, images[:1].expand(missing, -1, -1, -1)])
        logits = check_logits(self._view(padded), torch.zeros(self._width))[: len(images)].cpu()
        if not bool(torch.isfinite(logits).all()):
            raise UserError("the model returned logits that are not finite; an attack on them would mean nothing")
        return logits
