"""How does a low-rank branch run beside a frozen linear map, fast in tuning and faster under attack?

For an input x, branches c in {q, k, v, ...} of one layer, each with its own normalisation and matrices:

    y = W x + b + concat_c( (alpha_c / r_c) B_c A_c LN_c(x) ),    LN_c(x) = gamma_c * xhat + beta_c

Statistics are computed once: ``A_c (gamma_c * xhat + beta_c) = (A_c diag(gamma_c)) xhat + A_c beta_c``, so all branches
share one product with the stacked ``A diag(gamma)``, and one with the block-structured ``B``.

Under attack the parameters stand still. Without normalisation the branch is added to W. With it, gamma is folded into
A, beta and b into one constant, and what remains is one product with W, one fused normalisation and two small products:

    y = W x + (b + s B A beta) + (s B) (A diag(gamma)) xhat
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustpeft.types import derive_seed

__all__ = ["Branch", "LowRank", "LowRankConv", "LowRankLinear", "Switchable"]


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
        scaling: alpha / r.
        part: (i, n) if it feeds the i-th of n equal parts of the output; None for all of it.
    """

    name: str
    r: int
    scaling: float
    part: tuple[int, int] | None = None


@dataclass(frozen=True)
class BranchOptions:
    """What all branches of a layer share.

    Args:
        norm_eps: Added to the variance inside the square root; None for no normalisation (plain LoRA).
        dropout: Probability of dropping an input of the branch, in training only.
        seed: Of the initial values.
    """

    norm_eps: float | None
    dropout: float
    seed: int


class LowRank(nn.Module):
    """The added branches of one layer: tokens (..., in) to the increment (..., out).

    A starts Kaiming-uniform (uniform on +-1/sqrt(in)), B at 0, gamma at 1, beta at 0, so the increment starts at 0.
    """

    def __init__(
        self, branches: tuple[Branch, ...], in_features: int, out_features: int, options: BranchOptions
    ) -> None:
        super().__init__()
        self.branches = branches
        self.out_features = out_features
        self.norm_eps = options.norm_eps
        self.dropout = nn.Dropout(options.dropout)
        self.A, self.B = nn.ParameterDict(), nn.ParameterDict()
        self.norm_weight, self.norm_bias = nn.ParameterDict(), nn.ParameterDict()
        bound = 1.0 / math.sqrt(in_features)
        for branch in branches:
            rows = out_features // (branch.part[1] if branch.part else 1)
            generator = torch.Generator().manual_seed(derive_seed(options.seed, branch.name))
            start = torch.empty(branch.r, in_features).uniform_(-bound, bound, generator=generator)
            self.A[branch.name] = nn.Parameter(start)
            self.B[branch.name] = nn.Parameter(torch.zeros(rows, branch.r))
            if self.norm_eps is not None:
                self.norm_weight[branch.name] = nn.Parameter(torch.ones(in_features))
                self.norm_bias[branch.name] = nn.Parameter(torch.zeros(in_features))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the increment, in the type of the tokens."""
        down, offset = self.down()
        inputs = tokens.to(down.dtype)
        if self.norm_eps is not None:
            inputs = F.layer_norm(inputs, inputs.shape[-1:], eps=self.norm_eps)
        return F.linear(F.linear(self.dropout(inputs), down, offset), self.up()).to(tokens.dtype)

    def down(self) -> tuple[Tensor, Tensor | None]:
        """Return the stacked A diag(gamma) (sum of r, in), and A beta (sum of r,) where there is a normalisation."""
        names = [branch.name for branch in self.branches]
        if self.norm_eps is None:
            return torch.cat([self.A[n] for n in names]), None
        matrix = torch.cat([self.A[n] * self.norm_weight[n] for n in names])
        return matrix, torch.cat([self.A[n] @ self.norm_bias[n] for n in names])

    def up(self) -> Tensor:
        """Return the stacked, scaled B (out, sum of r): each branch's columns are zero outside the rows it feeds."""
        total, columns = self.out_features, []
        for branch in self.branches:
            matrix = self.B[branch.name] * branch.scaling
            index, parts = branch.part or (0, 1)
            above = index * (total // parts)
            columns.append(F.pad(matrix, (0, 0, above, total - above - matrix.shape[0])))
        return torch.cat(columns, dim=1)


class LowRankLinear(nn.Module):
    """A frozen linear layer with added branches; its weight and bias keep their names."""

    def __init__(self, base: nn.Linear, branches: tuple[Branch, ...], options: BranchOptions) -> None:
        super().__init__()
        self.weight, self.bias = base.weight, base.bias
        self.in_features, self.out_features = base.in_features, base.out_features
        self.adapter = LowRank(branches, base.in_features, base.out_features, options)
        _like(self.adapter, base.weight)
        self.enabled = True

    def forward(self, tokens: Tensor) -> Tensor:
        """Return W x + b plus the increment."""
        output = F.linear(tokens, self.weight, self.bias)
        return output + self.adapter(tokens) if self.enabled else output

    def folded(self) -> nn.Module:
        """Return the same map for parameters that stand still, in buffers of its own."""
        if not self.enabled:
            return Folded(self.weight.detach(), _detached(self.bias))
        return _fold(self.weight, self.bias, self.adapter)


class LowRankConv(nn.Module):
    """A frozen patch embedding (stride equal to kernel) with added branches on the unfolded patches."""

    def __init__(self, base: nn.Conv2d, branches: tuple[Branch, ...], options: BranchOptions) -> None:
        super().__init__()
        self.weight, self.bias = base.weight, base.bias
        self.kernel_size = (base.kernel_size[0], base.kernel_size[1])
        self.stride = self.kernel_size
        self.adapter = LowRank(branches, base.weight[0].numel(), base.out_channels, options)
        _like(self.adapter, base.weight)
        self.enabled = True

    def forward(self, images: Tensor) -> Tensor:
        """Return the convolution plus the increment, (b, out, rows, columns)."""
        output = F.conv2d(images, self.weight, self.bias, stride=self.stride)
        if not self.enabled:
            return output
        increment: Tensor = self.adapter(_patches(images, self.kernel_size))
        return output + increment.permute(0, 3, 1, 2)

    def folded(self) -> nn.Module:
        """Return the same map for parameters that stand still, in buffers of its own."""
        weight = self.weight.flatten(1)
        if not self.enabled:
            return FoldedPatches(Folded(weight.detach(), _detached(self.bias)), self.kernel_size)
        return FoldedPatches(_fold(weight, self.bias, self.adapter), self.kernel_size)


class Folded(nn.Module):
    """A linear map with a folded branch: ``weight x + bias + up (down xhat)``, or ``weight x + bias`` without one."""

    weight: Tensor
    bias: Tensor | None
    down: Tensor | None
    up: Tensor | None

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor | None = None,
        up: Tensor | None = None,
        norm_eps: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm_eps = norm_eps
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.register_buffer("down", down, persistent=False)
        self.register_buffer("up", up, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the map of tokens (..., in) to (..., out)."""
        if self.up is None or self.down is None:
            return F.linear(tokens, self.weight, self.bias)
        standard = F.layer_norm(tokens, tokens.shape[-1:], eps=self.norm_eps)
        return F.linear(tokens, self.weight) + F.linear(F.linear(standard, self.down), self.up, self.bias)


class FoldedPatches(nn.Module):
    """A folded map on the patches of an image."""

    def __init__(self, linear: Folded, kernel_size: tuple[int, int]) -> None:
        super().__init__()
        self.linear = linear
        self.kernel_size = kernel_size

    def forward(self, images: Tensor) -> Tensor:
        """Return (b, out, rows, columns)."""
        output: Tensor = self.linear(_patches(images, self.kernel_size))
        return output.permute(0, 3, 1, 2)


@torch.no_grad()
def _fold(weight: Tensor, bias: Tensor | None, adapter: LowRank) -> Folded:
    down, offset = adapter.down()
    up = adapter.up()
    if offset is None:
        return Folded(weight.detach() + (up @ down).to(weight.dtype), _detached(bias))
    constant = (up @ offset).to(weight.dtype)
    total = constant if bias is None else bias.detach() + constant
    assert adapter.norm_eps is not None
    return Folded(weight.detach(), total, down.to(weight.dtype), up.to(weight.dtype), adapter.norm_eps)


def _patches(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the patches (b, rows, columns, 3 * kh * kw) in the order of a flattened kernel; a remainder is cut off."""
    batch, channels, height, width = images.shape
    rows, columns = height // size[0], width // size[1]
    images = images[:, :, : rows * size[0], : columns * size[1]]
    tiles = images.reshape(batch, channels, rows, size[0], columns, size[1])
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows, columns, -1)


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()


def _like(adapter: nn.Module, weight: Tensor) -> None:
    """Move the branch to the layer's device; it stays float32, an optimiser's steps are lost in half precision."""
    adapter.to(weight.device)
