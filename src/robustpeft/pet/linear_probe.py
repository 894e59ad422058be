"""The linear probe: a new head on frozen features; the first control that every table needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.pet.base import PETMethod

__all__ = ["LinearProbe"]


@final
@dataclass(frozen=True)
class LinearProbe(PETMethod):
    """Only the head is trained.

    Trained parameters without the head: none.
    """

    mergeable: ClassVar[bool] = True

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return nothing."""
        return {}

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing: the head is always trained."""
        model.require_seams()
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return 0."""
        return 0
