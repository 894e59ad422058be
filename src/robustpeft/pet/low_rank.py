"""How does a frozen layer carry low-rank branches? By a module that keeps its weight and bias under their names."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustpeft.pet.low_rank_branches import Branch, BranchOptions, LowRank, Switchable
from robustpeft.pet.low_rank_folding import Folded, FoldedPatches, fold, linear_plus, patches

__all__ = [
    "Branch",
    "BranchOptions",
    "Folded",
    "FoldedPatches",
    "LowRank",
    "LowRankConv",
    "LowRankLinear",
    "Switchable",
]


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
        if not self.enabled:
            return F.linear(tokens, self.weight, self.bias)
        if _is_one_matrix(self.adapter, self.weight):
            return F.linear(tokens, _multiplied_out(self.weight, self.adapter), self.bias)
        if self.adapter.norm == "after":
            increment: Tensor = self.adapter(tokens)
            return F.linear(tokens, self.weight, self.bias) + increment
        return linear_plus(tokens, self.weight, self.bias, self.adapter.inner(tokens), self.adapter.up())

    def folded(self) -> nn.Module:
        """Return the same map for parameters that stand still, in buffers of its own."""
        return fold(self.weight, self.bias, self.adapter if self.enabled else None)


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
        if self.enabled and _is_one_matrix(self.adapter, self.weight):
            return F.conv2d(images, _multiplied_out(self.weight, self.adapter), self.bias, stride=self.stride)
        output = F.conv2d(images, self.weight, self.bias, stride=self.stride)
        if not self.enabled:
            return output
        increment: Tensor = self.adapter(patches(images, self.kernel_size))
        return output + increment.permute(0, 3, 1, 2)

    def folded(self) -> nn.Module:
        """Return the same map for parameters that stand still, in buffers of its own."""
        linear = fold(self.weight.flatten(1), self.bias, self.adapter if self.enabled else None)
        return FoldedPatches(linear, self.kernel_size)


def _is_one_matrix(adapter: LowRank, weight: Tensor) -> bool:
    """Return whether W + s B A may be multiplied out: nothing stands between the two, and no precision is lost."""
    same = adapter.A[adapter.branches[0].name].dtype == weight.dtype
    return (
        adapter.norm == "none" and not adapter.training and same and not torch.is_autocast_enabled(weight.device.type)
    )


def _multiplied_out(weight: Tensor, adapter: LowRank) -> Tensor:
    return torch.addmm(weight.flatten(1), adapter.up(), adapter.down()[0]).view_as(weight)


def _like(adapter: nn.Module, weight: Tensor) -> None:
    """Move the branch to the layer's device; it stays float32, an optimiser's steps are lost in half precision."""
    adapter.to(weight.device)
