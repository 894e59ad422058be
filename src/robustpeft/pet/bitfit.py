"""BitFit: every bias of the backbone is trained in place, and nothing else; a control.

Source: Ben Zaken et al. 2022, BitFit, arXiv:2106.10199, which trains the biases of the norms too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.pet.base import PETMethod
from robustpeft.pet.in_place import all_biases, count_named

__all__ = ["BitFit"]


@final
@dataclass(frozen=True)
class BitFit(PETMethod):
    """Every bias, those of the norms included, is trained in place; nothing is added.

    Trained parameters without the head: ``11 d L + 2 d`` for L blocks of width d whose MLP is 4 d wide, the patch
    embedding and the last norm.
    """

    mergeable: ClassVar[bool] = True

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return nothing."""
        return {}

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return the names of all biases."""
        model.require_seams()
        return all_biases(model)

    def count(self, model: ImageClassifier) -> int:
        """Return the sum of their lengths."""
        return count_named(model, self.thawed(model))
