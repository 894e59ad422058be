"""PerHeadLoRA: what one study's code calls LoRA: one small map for all heads, on projected queries and values.

    q_h' = q_h + A B q_h,    v_h' = v_h + A' B' v_h    for each head h; A (d_h, r), B (r, d_h), no alpha / r

Source: the repository JCruan519/PETRobustness of Ruan et al. 2024, arXiv:2410.09845, ``models/vision_transformer.py``.
There as here A is Kaiming-uniform over its r columns and B is 0. It acts behind the fused qkv layer, before a norm of
the queries if the network has one (the study's has none). For LoRA as its authors describe it, take `LoRA`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.base import PETMethod
from robustpeft.pet.low_rank_folding import Folded
from robustpeft.types import Site, derive_seed

__all__ = ["PerHeadLinear", "PerHeadLoRA"]


@final
@dataclass(frozen=True)
class PerHeadLoRA(PETMethod):
    """A low-rank map of each projected query and value, shared by the heads of a block; mergeable.

    Trained parameters without the head: ``4 r d_h L`` for L blocks with heads of width d_h.

    Args:
        r: Rank, at least 1 and at most the width of a head.
    """

    mergeable: ClassVar[bool] = True

    r: int = 8

    def __post_init__(self) -> None:
        if self.r < 1 or self.r != int(self.r):
            raise UserError(f"r must be at least 1; got {self.r}")

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return the layers with their maps; the model is not changed."""
        modules: dict[str, nn.Module] = {}
        sites = model.require_seams().select(("q", "v"))
        for path in dict.fromkeys(site.module for site in sites):
            here = tuple(site for site in sites if site.module == path)
            width = self._head_width(model, here[0])
            layer = model.network.get_submodule(path)
            if not isinstance(layer, nn.Linear):
                raise UserError(f"{path} is a {type(layer).__name__}; PerHeadLoRA goes behind Linear")
            modules[path] = PerHeadLinear(layer, here, self.r, width, derive_seed(seed, path))
        return modules

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return 2 r d_h, summed over the queries and values of the blocks."""
        sites = model.require_seams().select(("q", "v"))
        return sum(2 * self.r * self._head_width(model, site) for site in sites)

    def _head_width(self, model: ImageClassifier, site: Site) -> int:
        attention = model.network.get_submodule(site.module.rpartition(".")[0])
        heads = getattr(attention, "num_heads", None)
        if not isinstance(heads, int):
            raise UserError(f"{type(attention).__name__} around {site.module} does not say its num_heads; use lora")
        weight = model.network.get_submodule(site.module).weight
        assert isinstance(weight, nn.Parameter)
        width = len(weight) // (site.part[1] if site.part else 1) // heads
        if self.r > width:
            raise UserError(f"r = {self.r} is larger than the {width} of a head of {site.module}")
        return width


class PerHeadLinear(nn.Module):
    """A frozen linear layer, parts of whose output go head by head through ``1 + A B``.

    Args:
        base: The layer; its weight and bias keep their names.
        sites: Which parts of its output.
        r: Columns of A, rows of B.
        head_width: Outputs of one head.
        seed: Of the initial values.
    """

    def __init__(self, base: nn.Linear, sites: tuple[Site, ...], r: int, head_width: int, seed: int) -> None:
        super().__init__()
        self.weight, self.bias = base.weight, cast(Tensor | None, base.bias)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.parts = {site.component: site.part or (0, 1) for site in sites}
        self.head_width = head_width
        self.A, self.B = nn.ParameterDict(), nn.ParameterDict()
        for name in self.parts:
            generator = torch.Generator().manual_seed(derive_seed(seed, name))
            start = torch.empty(head_width, r).uniform_(-1.0, 1.0, generator=generator) / math.sqrt(r)
            self.A[name] = nn.Parameter(start.to(base.weight.device))
            self.B[name] = nn.Parameter(torch.zeros(r, head_width, device=base.weight.device))
        self.enabled = True

    def forward(self, tokens: Tensor) -> Tensor:
        """Return W x + b, its parts mapped (..., out)."""
        output = F.linear(tokens, self.weight, self.bias)
        return self._mapped(output) if self.enabled else output

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """Return the same map for parameters that stand still, in buffers of its own."""
        weight, bias = self.weight.detach(), None if self.bias is None else self.bias.detach()
        if not self.enabled:
            return Folded(weight, bias)
        return Folded(self._mapped(weight.T).T.contiguous(), None if bias is None else self._mapped(bias))

    def _mapped(self, outputs: Tensor) -> Tensor:
        """Return outputs (..., out) with ``y + A B y`` in the place of each head's y."""
        pieces = {index: (name, count) for name, (index, count) in self.parts.items()}
        parts = next(iter(pieces.values()))[1]
        chunks = list(outputs.chunk(parts, dim=-1))
        for index, (name, _) in pieces.items():
            heads = chunks[index].reshape(*outputs.shape[:-1], -1, self.head_width)
            product = (self.A[name] @ self.B[name]).to(outputs.dtype)
            chunks[index] = (heads + F.linear(heads, product)).flatten(-2)
        return chunks[0] if parts == 1 else torch.cat(chunks, dim=-1)
