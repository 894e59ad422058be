"""Full tuning: every parameter is trained; the control that costs the most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.pet.base import PETMethod
from robustpeft.pet.in_place import count_named, own_parameters

__all__ = ["Full"]


@final
@dataclass(frozen=True)
class Full(PETMethod):
    """Every parameter is trained.

    Trained parameters without the head: all of the network's.
    """

    mergeable: ClassVar[bool] = True

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return nothing."""
        return {}

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return the names of all parameters."""
        return set(own_parameters(model))

    def count(self, model: ImageClassifier) -> int:
        """Return the number of parameters outside the heads."""
        return count_named(model, self.thawed(model))
