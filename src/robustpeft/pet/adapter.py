"""Adapter: a small MLP through a bottleneck, behind the layers whose output it corrects.

    houlsby    a -> a + A(a) and m -> m + A(m), for the outputs a, m of the attention and of the MLP branch
    pfeiffer   m -> m + A(m) alone
    post       h -> h + A(h), for the output h of the whole block
    A(z) = W_u GELU(W_d z + b_d) + b_u

Source: Houlsby et al. 2019, arXiv:1902.00751; Pfeiffer et al. 2021, arXiv:2005.00247; after the whole block as in
Steitz and Roth 2024, Adapter+, arXiv:2406.06820, without its learned scale per channel. W_u starts at 0 and W_d does
not. A branch's output is what is added to the stream: behind the LayerScale, where there is one. As in the ViT versions
of the first two, the frozen norms stay frozen and the adapter has none of its own. The other starts of `init` are those
of Houlsby et al. and of a new ViT in timm; neither is the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final, get_args

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError, nearest_hint
from robustpeft.pet.base import PETMethod
from robustpeft.pet.block_choice import check_blocks, choose_blocks
from robustpeft.pet.bottleneck import Bottleneck, BottleneckOptions, Start, check_bottleneck, count_bottleneck
from robustpeft.pet.inserts import After, Insert
from robustpeft.types import derive_seed

__all__ = ["Adapter"]

Position = Literal["houlsby", "pfeiffer", "post"]


@final
@dataclass(frozen=True)
class Adapter(PETMethod):
    """A bottleneck MLP behind the branches of each block, or behind the block; not mergeable.

    Trained parameters without the head: ``n (2 d m + m + d) L`` for a bottleneck m in L blocks of width d, with n = 2
    for houlsby and n = 1 otherwise. It is the identity at the start if `init` is ``zero``.

    Args:
        position: ``houlsby`` (behind attention and MLP), ``pfeiffer`` (behind the MLP) or ``post`` (behind the block).
        bottleneck: Channels m between the two maps, at least 1.
        blocks: Indices of the blocks that have adapters, negative ones from the end; None for all.
        init: ``zero`` (W_u = 0), ``houlsby`` (both matrices truncated normal, sigma 0.01) or ``normal`` (both normal,
            sigma 0.02).
    """

    position: Position = "houlsby"
    bottleneck: int = 8
    blocks: tuple[int, ...] | None = None
    init: Start = "zero"

    def __post_init__(self) -> None:
        if self.position not in get_args(Position):
            raise UserError(f"unknown position {self.position!r}; {nearest_hint(self.position, get_args(Position))}")
        check_bottleneck(self.bottleneck, init=self.init)
        check_blocks(self.blocks)
        object.__setattr__(self, "identity_at_start", self.init == "zero")

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return nothing: no layer is replaced."""
        return {}

    def inserts(self, model: ImageClassifier, seed: int) -> list[Insert]:
        """Return one adapter per place."""
        options = BottleneckOptions(self.bottleneck, "gelu", init=self.init)
        return [
            After(host, "adapter", Bottleneck(width, options, derive_seed(seed, host)))
            for host, width in self._places(model)
        ]

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return 2 d m + m + d, summed over the places."""
        return sum(count_bottleneck(width, self.bottleneck) for _, width in self._places(model))

    def _places(self, model: ImageClassifier) -> list[tuple[str, int]]:
        """Return the path of each module whose output is adapted, and its width."""
        seams = model.require_seams()
        residuals = seams.require_residuals()
        places = []
        for index in choose_blocks(self.blocks, len(seams.blocks)):
            residual = residuals[index]
            behind = {
                "houlsby": (residual.attn[-1], residual.mlp[-1]),
                "pfeiffer": (residual.mlp[-1],),
                "post": (seams.blocks[index],),
            }
            places += [(host, residual.width) for host in behind[self.position]]
        return places
