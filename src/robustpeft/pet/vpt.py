"""VPT, visual prompt tuning: learned tokens among those of the image.

    shallow    [prefix, patches] becomes [prefix, P, patches] before the first block, through all blocks
    deep       before each later block i, what became of the prompts is replaced by that block's own P_i

Source: Jia et al. 2022, VPT, arXiv:2203.12119. The start, uniform on +-sqrt(6 / (3 p^2 + d)) for patches of p pixels
and width d, is that of its released code, and so are the defaults. As there, the prompts have no position embedding; in
a CLIP tower they join behind the norm that stands before the blocks. Differences: the prompts leave the sequence behind
the last block, so no pooling ever averages them (what is read between blocks does hold them); they are not projected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

import torch
from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError, nearest_hint
from robustpeft.pet.base import PETMethod
from robustpeft.pet.inserts import After, Before, Insert
from robustpeft.pet.prompts import Prompts, WithoutPrompts
from robustpeft.types import derive_seed

__all__ = ["VPT"]

Start = Literal["xavier", "uniform"]


@final
@dataclass(frozen=True)
class VPT(PETMethod):
    """Learned tokens beside the patches, at the first block or at each; neither mergeable nor the identity at start.

    Trained parameters without the head: ``n d``, or ``n d L`` if deep, for n prompts in L blocks of width d. They
    lengthen the sequence, and so the time of every forward pass, by n tokens.

    Args:
        num_prompts: How many tokens n, at least 1.
        deep: Each block has its own; otherwise the first block's stay.
        dropout: Probability of dropping an entry of a prompt, in training only.
        init: ``xavier``, as above, or ``uniform`` on +-0.5, as in code of others.
    """

    identity_at_start: ClassVar[bool] = False

    num_prompts: int = 5
    deep: bool = False
    dropout: float = 0.0
    init: Start = "xavier"

    def __post_init__(self) -> None:
        if self.num_prompts < 1:
            raise UserError(f"num_prompts must be at least 1; got {self.num_prompts}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout must be in [0, 1); got {self.dropout}")
        if self.init not in get_args(Start):
            raise UserError(f"unknown init {self.init!r}; {nearest_hint(self.init, get_args(Start))}")

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return nothing: no layer is replaced."""
        return {}

    def inserts(self, model: ImageClassifier, seed: int) -> list[Insert]:
        """Return the prompts of each block that has some, and what takes them out behind the last."""
        seams = model.require_seams()
        prefix = seams.require_prefix_tokens()
        patch, width = self._sides(model)
        bound = math.sqrt(6.0 / (patch + width)) if self.init == "xavier" else 0.5
        inserts: list[Insert] = []
        for block in self._blocks(model):
            generator = torch.Generator().manual_seed(derive_seed(seed, block))
            start = torch.empty(self.num_prompts, width).uniform_(-bound, bound, generator=generator)
            inserts.append(Before(block, "prompts", Prompts(start, prefix, self.dropout, replace=bool(inserts))))
        return [*inserts, After(seams.blocks[-1], "without_prompts", WithoutPrompts(prefix, self.num_prompts))]

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return n d, summed over the blocks that have prompts."""
        return self.num_prompts * self._sides(model)[1] * len(self._blocks(model))

    def _blocks(self, model: ImageClassifier) -> tuple[str, ...]:
        blocks = model.require_seams().blocks
        return blocks if self.deep else blocks[:1]

    def _sides(self, model: ImageClassifier) -> tuple[int, int]:
        """Return how many numbers a patch has, 3 p^2, and the width d."""
        seams = model.require_seams()
        seams.require_prefix_tokens()
        (site,) = seams.select(["patch_embed"])
        weight = model.network.get_submodule(site.module).weight
        assert isinstance(weight, nn.Parameter)
        return weight[0].numel(), len(weight)
