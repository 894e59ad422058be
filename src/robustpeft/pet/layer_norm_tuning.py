"""LayerNorm tuning: the weights and biases of the norms are trained in place, and nothing else; a control.

Source: Zhao et al. 2023, arXiv:2312.11420, which tunes the LayerNorms of the attention blocks of a language model.
Difference: here the norms outside the blocks are trained too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.pet.base import PETMethod
from robustpeft.pet.in_place import count_named, norm_parameters

__all__ = ["LayerNormTuning"]


@final
@dataclass(frozen=True)
class LayerNormTuning(PETMethod):
    """The weights and biases of all norms are trained in place; nothing is added.

    Trained parameters without the head: ``4 d L + 2 d`` for L blocks of width d and the last norm.
    """

    mergeable: ClassVar[bool] = True

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return nothing."""
        return {}

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return the names of the norms' parameters."""
        return norm_parameters(model)

    def count(self, model: ImageClassifier) -> int:
        """Return the sum of their lengths."""
        return count_named(model, self.thawed(model))
