"""How does a low-rank branch run beside a frozen linear map?

For an input x and branches c in {q, k, v, ...} of one layer, each with matrices and, perhaps, a LayerNorm of its own:

    y = W x + b + concat_c( s_c B_c A_c x )                 norm "none": plain LoRA
    y = W x + b + concat_c( s_c B_c A_c LN_c(x) )           norm "before"
    y = W x + b + concat_c( s_c LN_c(B_c A_c x) )           norm "after"
    LN_c(x) = gamma_c * xhat + beta_c

Before the branch, statistics are computed once: ``A_c (gamma_c * xhat + beta_c) = (A_c diag(gamma_c)) xhat + A_c
beta_c``, so all branches share one product with the stacked ``A diag(gamma)``, and one with the block-structured ``B``.
Without a norm nothing stands between W and B A: in eval mode, where no dropout does either, W + s B A is multiplied out
first, r (in + out) numbers per token against one sum the size of W. In training it is not: a gradient the size of W
would be its price. How the branch disappears under attack is in `low_rank_folding`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustpeft.types import derive_seed

__all__ = ["Branch", "BranchOptions", "LowRank", "Norm", "Switchable"]

Norm = Literal["before", "none", "after"]


@runtime_checkable
class Switchable(Protocol):
    """A module whose addition can be switched off."""

    enabled: bool


@dataclass(frozen=True)
class Branch:
    """One low-rank branch of a layer.

    Args:
        name: Component it adapts, for example ``q``.
        r: Rank.
        scaling: alpha / r, or alpha / sqrt(r).
        part: (i, n) if it feeds the i-th of n equal parts of the output; None for all of it.
    """

    name: str
    r: int
    scaling: float
    part: tuple[int, int] | None = None

    def rows(self, out_features: int) -> tuple[int, int]:
        """Return the first row of the output that it feeds, and how many it feeds."""
        index, parts = self.part or (0, 1)
        count = out_features // parts
        return index * count, count


@dataclass(frozen=True)
class BranchOptions:
    """What all branches of a layer share.

    Args:
        norm: Where the LayerNorm stands: before A, nowhere, or after B.
        affine: gamma and beta are learned; otherwise they are 1 and 0.
        norm_eps: Added to the variance inside the square root.
        dropout: Probability of dropping an input of A, in training only.
        seed: Of the initial values.
    """

    norm: Norm = "none"
    affine: bool = True
    norm_eps: float = 1e-5
    dropout: float = 0.0
    seed: int = 0


class LowRank(nn.Module):
    """The added branches of one layer: tokens (..., in) to the increment (..., out), which starts at 0.

    A starts Kaiming-uniform (uniform on +-1/sqrt(in)), B at 0, gamma at 1, beta at 0. With the norm after the branch
    B starts Kaiming-uniform too (on +-1/sqrt(r)) and gamma at 0: behind a B of 0 a norm would multiply the first
    gradients by 1/sqrt(eps), and its output would jump to unit variance with the first step, however small.
    """

    def __init__(
        self, branches: tuple[Branch, ...], in_features: int, out_features: int, options: BranchOptions
    ) -> None:
        super().__init__()
        self.branches = branches
        self.out_features = out_features
        self.norm = options.norm
        self.norm_eps = None if options.norm == "none" else options.norm_eps
        self.dropout = nn.Dropout(options.dropout)
        # A module, so that training may see that its output need not be kept; it holds nothing.
        self.standard = nn.LayerNorm(in_features, eps=options.norm_eps, elementwise_affine=False)
        self.A, self.B = nn.ParameterDict(), nn.ParameterDict()
        self.norm_weight, self.norm_bias = nn.ParameterDict(), nn.ParameterDict()
        after = options.norm == "after"
        for branch in branches:
            _, rows = branch.rows(out_features)
            generator = torch.Generator().manual_seed(derive_seed(options.seed, branch.name))
            self.A[branch.name] = nn.Parameter(_uniform(branch.r, in_features, generator))
            up = _uniform(rows, branch.r, generator) if after else torch.zeros(rows, branch.r)
            self.B[branch.name] = nn.Parameter(up)
            if options.norm != "none" and options.affine:
                width = rows if after else in_features
                self.norm_weight[branch.name] = nn.Parameter(torch.zeros(width) if after else torch.ones(width))
                self.norm_bias[branch.name] = nn.Parameter(torch.zeros(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the increment, in the type of the tokens."""
        if self.norm != "after":
            return F.linear(self.inner(tokens), self.up()).to(tokens.dtype)
        inner = torch.split_with_sizes(self.inner(tokens), [branch.r for branch in self.branches], dim=-1)
        pieces = [self._normalised(branch, each) for branch, each in zip(self.branches, inner, strict=True)]
        return (pieces[0] if len(pieces) == 1 else torch.stack(pieces).sum(0)).to(tokens.dtype)

    def inner(self, tokens: Tensor) -> Tensor:
        """Return A x, or A LN(x), of all branches (..., sum of r), in the type of the branch."""
        down, offset = self.down()
        inputs = tokens.to(down.dtype)
        if self.norm == "before":
            inputs = self.standard(inputs)
        return F.linear(self.dropout(inputs), down, offset)

    def down(self) -> tuple[Tensor, Tensor | None]:
        """Return the stacked A (sum of r, in); before it a LayerNorm turns it into A diag(gamma), and adds A beta."""
        names = [branch.name for branch in self.branches]
        if self.norm != "before" or not self.norm_weight:
            return _stack([self.A[n] for n in names], 0), None
        matrix = _stack([self.A[n] * self.norm_weight[n] for n in names], 0)
        return matrix, _stack([self.A[n] @ self.norm_bias[n] for n in names], 0)

    def up(self) -> Tensor:
        """Return the stacked, scaled B (out, sum of r): each branch's columns are zero outside the rows it feeds."""
        return _stack([self.spread(branch, self.B[branch.name] * branch.scaling) for branch in self.branches], 1)

    def spread(self, branch: Branch, rows: Tensor) -> Tensor:
        """Return a matrix with `rows` (n, columns) in the rows of the output that `branch` feeds, and 0 elsewhere."""
        first, count = branch.rows(self.out_features)
        below = self.out_features - first - count
        return rows if count == self.out_features else F.pad(rows, (0, 0, first, below))

    def _normalised(self, branch: Branch, inner: Tensor) -> Tensor:
        """Return s LN(B inner) in its place among the outputs."""
        first, count = branch.rows(self.out_features)
        assert self.norm_eps is not None
        weight, bias = self.norm_weight[branch.name], self.norm_bias[branch.name]  # after a branch it is never fixed
        piece = F.layer_norm(F.linear(inner, self.B[branch.name]), (count,), weight, bias, self.norm_eps)
        return F.pad(piece * branch.scaling, (first, self.out_features - first - count))


def _uniform(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    bound = 1.0 / math.sqrt(columns)
    return torch.empty(rows, columns).uniform_(-bound, bound, generator=generator)


def _stack(tensors: list[Tensor], dim: int) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim)
