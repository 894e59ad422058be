"""Norms and biases: the small existing parameters, trained in place; a control, and a partner for low-rank branches.

Source: Ben Zaken et al. 2022, BitFit, arXiv:2106.10199 (biases); tuning of LayerNorms as in Zhao et al. 2023,
arXiv:2312.11420. Together with the embeddings, as here, they made LNLoRA reach full tuning in a small experiment. Each
alone, as published, is `BitFit` and `LayerNormTuning`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.base import PETMethod
from robustpeft.pet.in_place import biases_of_maps, count_named, norm_parameters

__all__ = ["NormsAndBiases"]


@final
@dataclass(frozen=True)
class NormsAndBiases(PETMethod):
    """Existing norms, biases and embeddings are trained in place; nothing is added.

    Trained parameters without the head: the lengths of the chosen vectors; for L blocks of width d with everything on,
    ``(13 d) L`` for the blocks, ``3 d`` for the last norm and the patch embedding's bias, and the embeddings.

    Args:
        norms: Weights and biases of the normalisation layers.
        biases: Biases of the linear maps.
        embeddings: Class token, position embedding and their like.
    """

    mergeable: ClassVar[bool] = True

    norms: bool = True
    biases: bool = True
    embeddings: bool = True

    def __post_init__(self) -> None:
        if not (self.norms or self.biases or self.embeddings):
            raise UserError("norms_and_biases with everything switched off trains nothing; use linear_probe")

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return nothing."""
        return {}

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return the names of the chosen parameters."""
        chosen = set(model.require_seams().embeddings) if self.embeddings else set[str]()
        if self.norms:
            chosen |= norm_parameters(model)
        if self.biases:
            chosen |= biases_of_maps(model)
        return chosen

    def count(self, model: ImageClassifier) -> int:
        """Return the sum of their sizes."""
        return count_named(model, self.thawed(model))
