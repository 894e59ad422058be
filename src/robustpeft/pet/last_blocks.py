"""Last blocks: the last k transformer blocks are trained in place, with the norm behind them; a control.

Source: Yosinski et al. 2014, arXiv:1411.1792 (the layers near the output are the least general); "Partial-k" in Jia et
al. 2022, VPT, arXiv:2203.12119.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.base import PETMethod
from robustpeft.pet.in_place import count_named, own_parameters

__all__ = ["LastBlocks"]


@final
@dataclass(frozen=True)
class LastBlocks(PETMethod):
    """The last k blocks and the norm behind them are trained in place; nothing is added.

    Trained parameters without the head: ``(12 d^2 + 13 d) k + 2 d`` for blocks of width d whose MLP is 4 d wide.

    Args:
        k: How many blocks, at least 1 and at most as many as there are.
    """

    mergeable: ClassVar[bool] = True

    k: int = 1

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"k must be at least 1; got {self.k}; use linear_probe to train no block")

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return nothing."""
        return {}

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return the names of all parameters of the last k blocks and of the norms defined behind the last.

        Raises:
            UserError: If there are fewer than k blocks.
        """
        seams = model.require_seams()
        if self.k > len(seams.blocks):
            raise UserError(f"k = {self.k} is more than the {len(seams.blocks)} blocks of this {seams.family}")
        order = [name for name, _ in model.network.named_modules()]
        behind = order[order.index(seams.blocks[-1]) :]
        chosen = (*seams.blocks[-self.k :], *(norm for norm in seams.norms if norm in behind))
        prefixes = tuple(f"{path}." for path in chosen)
        return {name for name in own_parameters(model) if name.startswith(prefixes)}

    def count(self, model: ImageClassifier) -> int:
        """Return the sum of their sizes."""
        return count_named(model, self.thawed(model))
