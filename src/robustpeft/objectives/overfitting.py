"""Does the adversary of training still teach anything? Not if it is met with ease while another one wins.

Catastrophic overfitting (Wong, Rice and Kolter 2020, arXiv:2001.03994, Section 5.3): within an epoch the model learns
to answer the single step of its own adversary, and its accuracy under PGD falls to about 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Look", "catastrophic"]

_LOST = 0.5  # of the best robust accuracy so far
_SEEN = 0.05  # robust accuracy that a model must have had before it can be lost


@dataclass(frozen=True)
class Look:
    """What was seen at one look at the validation images.

    Args:
        epoch: When.
        trained: Share of the training images since the last look that were classified correctly as the adversary of
            training had made them: the mean of `Loss.parts` ``adversarial_accuracy``.
        robust: Share of the validation images that were classified correctly under the attack that selects weights.
    """

    epoch: int
    trained: float
    robust: float


def catastrophic(history: Sequence[Look]) -> str | None:
    """Return a sentence that says catastrophic overfitting has set in, or None.

    It has if robust accuracy on the validation images was at least 5 % once and is now less than half of its best,
    while accuracy on the training images, under the adversary of training, is higher than it was then.

    Args:
        history: All looks so far, in order; the last one is now.
    """
    if not history:
        return None
    now = history[-1]
    best = max(history, key=lambda look: look.robust)
    if best.robust < _SEEN or now.robust >= _LOST * best.robust or now.trained <= best.trained:
        return None
    return (
        f"catastrophic overfitting: from epoch {best.epoch} to {now.epoch} robust accuracy on the validation images "
        f"fell from {best.robust:.1%} to {now.robust:.1%}, while the adversary of training is met better and better "
        f"({best.trained:.1%} to {now.trained:.1%}); the weights of epoch {best.epoch} are kept. Use pgd_at, or "
        "single_step with start: 2, step: 1, inside: false, or a smaller epsilon"
    )
