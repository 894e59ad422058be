"""What is left of a low-rank branch while its parameters stand still? As little as its normalisation allows.

Without one nothing is left: the branch is added to W. With one, gamma, beta and the scaling are folded into the
matrices and the bias; what remains depends on x only through a small product and the length of a centred vector:

    before:  y = W x + (b + s B A beta) + (s B) (A diag(gamma)) xhat
    after:   y = W x + (b + s beta) + (s diag(gamma) C B) (h / sqrt(h' G h + eps)),   h = A x

where C takes the mean off and ``G = (C B)'(C B) / out`` is r by r: the variance of B h is found without forming B h.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustpeft.pet.low_rank_branches import LowRank

__all__ = ["Folded", "FoldedAfter", "FoldedBefore", "FoldedPatches", "fold", "linear_plus", "patches"]

_MULTIPLE = 8  # floats: what vector units take at once


def linear_plus(tokens: Tensor, weight: Tensor, bias: Tensor | None, inner: Tensor, up: Tensor) -> Tensor:
    """Return ``weight x + bias + up inner``, the second product accumulated into the first where types allow.

    Args:
        tokens: (..., in).
        weight: (out, in).
        bias: (out,) or None.
        inner: (..., r).
        up: (out, r).
    """
    accumulates = inner.dtype == tokens.dtype and not torch.is_autocast_enabled(tokens.device.type)
    # A linear layer takes other paths, which round otherwise, for tokens that are not contiguous or of 4 dimensions.
    if not (accumulates and tokens.ndim in (2, 3) and tokens.is_contiguous()):
        return F.linear(tokens, weight, bias) + F.linear(inner, up).to(tokens.dtype)
    output = F.linear(tokens.flatten(0, -2), weight, bias)
    return output.addmm_(inner.flatten(0, -2), up.t()).view(*tokens.shape[:-1], -1)


class Folded(nn.Module):
    """A linear map: ``weight x + bias``."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the map of tokens (..., in) to (..., out)."""
        return F.linear(tokens, self.weight, self.bias)


class FoldedBefore(nn.Module):
    """A linear map with a branch behind a normalisation: ``weight x + bias + up (down xhat)``.

    The narrow matrices are kept across, and as wide as processors like them, with zeros: that takes up to half of the
    time from the products with them.

    Args:
        weight: (out, in).
        bias: (out,) or None.
        down: (r, in).
        up: (out, r).
        norm_eps: Added to the variance.
    """

    weight: Tensor
    bias: Tensor | None
    down: Tensor
    up: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, norm_eps: float) -> None:
        super().__init__()
        self.norm_eps = norm_eps
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        # A row of 1/n takes the mean in the same product; xhat has none, and up ignores it.
        mean = torch.full_like(down[:1], 1.0 / down.shape[1])
        rows = torch.cat([mean, down - down.mean(1, keepdim=True)])
        zeros = -len(rows) % _MULTIPLE
        self.register_buffer("down", F.pad(rows, (0, 0, 0, zeros)).t().contiguous(), persistent=False)
        self.register_buffer("up", F.pad(up, (1, zeros)).t().contiguous(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the map of tokens (..., in) to (..., out)."""
        exact = tokens.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(tokens.device.type)
        if exact and tokens.ndim in (2, 3) and tokens.is_contiguous() and not torch.compiler.is_compiling():
            maps = (self.weight, self.bias, self.down, self.up)
            output: Tensor = _Normalised.apply(tokens.flatten(0, -2), *maps, self.norm_eps)[0]
            return output.view(*tokens.shape[:-1], -1)
        standard = F.layer_norm(tokens, tokens.shape[-1:], eps=self.norm_eps)
        return linear_plus(tokens, self.weight, self.bias, standard @ self.down, self.up.t())


class _Normalised(torch.autograd.Function):
    """``W x + b + U' (t D' x)`` with ``t = 1 / sqrt(var(x) + eps)`` and a D whose columns have no mean, but the first.

    No copy of x is normalised, forward or backward. With ``z = t D' x`` and ``u = U g``

        dx = W' g + D (t u) - (u' z) t^2 / n (x - mean(x))

    in which the mean is one more entry of u, since the first column of D is 1/n, and the first row of U is 0.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output (n, out), z (n, r) and t (n, 1) for x (n, in)."""
        inner, scale = _standardised(x, down, eps)
        return F.linear(x, weight, bias).addmm_(inner, up), inner, scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        """Keep what the gradient needs; t and z are no outputs to be differentiated."""
        x, weight, _, down, up, ctx.eps = inputs
        ctx.set_materialize_grads(False)  # no zeros for t and z
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(x, weight, down, up, *output[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        """Return the gradient of x; it can itself be differentiated, for which t and z are computed again from x."""
        if gradient is None:
            return (None,) * 6
        x, weight, down, up, inner, scale = ctx.saved_tensors
        if torch.is_grad_enabled():
            inner, scale = _standardised(x, down, ctx.eps)
        back = gradient @ up.t() * scale
        pull = (back * inner).sum(-1, keepdim=True)  # times the scale and -1/n
        back = torch.cat([inner[:, :1] * pull, back[:, 1:]], dim=-1)
        through = (gradient @ weight).addmm_(back, down.t())
        return through.addcmul_(pull * scale, x, value=-1 / x.shape[-1]), None, None, None, None, None


def _standardised(x: Tensor, down: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return ``t D' x`` and t, from sums alone: the variance is the mean square less the squared mean.

    In float32 its relative error is about 1e-7 (1 + mean^2 / var). Raw patches, nearly constant, come with 4 dimensions
    and are normalised the long way.
    """
    inner = x @ down
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    variance = (length.square() / x.shape[-1] - inner[:, :1].square()).clamp(min=0)
    scale = torch.rsqrt(variance + eps)
    return inner * scale, scale


class FoldedAfter(nn.Module):
    """A linear map with a branch before a normalisation: ``weight x + bias + up (h / sqrt(h' gram h + eps))``.

    Args:
        weight: (out, in).
        bias: (out,) or None.
        down: h = down x, of all branches: (sum of r, in).
        up: (out, sum of r).
        gram: Block-diagonal (sum of r, sum of r).
        members: (branches, sum of r), 1 where an entry of h belongs to the branch.
        norm_eps: Added to the variance.
    """

    weight: Tensor
    bias: Tensor | None
    down: Tensor
    up: Tensor
    gram: Tensor
    members: Tensor

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        *,
        gram: Tensor,
        members: Tensor,
        norm_eps: float,
    ) -> None:
        super().__init__()
        self.norm_eps = norm_eps
        for name, tensor in (("weight", weight), ("bias", bias), ("down", down), ("up", up)):
            self.register_buffer(name, tensor, persistent=False)
        self.register_buffer("gram", gram, persistent=False)
        self.register_buffer("members", members, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the map of tokens (..., in) to (..., out)."""
        inner = F.linear(tokens, self.down)
        variance = F.linear(F.linear(inner, self.gram) * inner, self.members).clamp(min=0)
        scale = torch.rsqrt(variance + self.norm_eps) @ self.members
        return linear_plus(tokens, self.weight, self.bias, inner * scale, self.up)


class FoldedPatches(nn.Module):
    """A folded map on the patches of an image."""

    def __init__(self, linear: nn.Module, kernel_size: tuple[int, int]) -> None:
        super().__init__()
        self.linear = linear
        self.kernel_size = kernel_size

    @property
    def weight(self) -> Tensor:
        """The matrix: some networks ask their patch embedding for its type."""
        weight = self.linear.weight
        assert isinstance(weight, Tensor)
        return weight

    def forward(self, images: Tensor) -> Tensor:
        """Return (b, out, rows, columns)."""
        output: Tensor = self.linear(patches(images, self.kernel_size))
        return output.permute(0, 3, 1, 2)


@torch.no_grad()
def fold(weight: Tensor, bias: Tensor | None, adapter: LowRank | None) -> nn.Module:
    """Return the linear map (weight, bias) with the branches of `adapter`, if any, folded into buffers of its own."""
    weight = weight.detach()
    bias = None if bias is None else bias.detach()
    if adapter is None:
        return Folded(weight, bias)
    down, offset = adapter.down()
    if adapter.norm == "after":
        return _fold_after(weight, bias, adapter)
    up = adapter.up()
    if adapter.norm == "none":
        return Folded(weight + (up @ down).to(weight.dtype), bias)
    assert adapter.norm_eps is not None
    total = _plus(bias, None if offset is None else up @ offset, weight)
    return FoldedBefore(
        weight, total, down.to(weight.dtype, copy=True), up.to(weight.dtype, copy=True), adapter.norm_eps
    )


def _fold_after(weight: Tensor, bias: Tensor | None, adapter: LowRank) -> nn.Module:
    assert adapter.norm_eps is not None
    ups, grams, members, constant = [], [], [], None
    for branch in adapter.branches:
        matrix = adapter.B[branch.name]
        centred = matrix - matrix.mean(0)
        grams.append(centred.T @ centred / len(matrix))
        members.append(torch.ones(1, branch.r).to(matrix))
        shift = adapter.spread(branch, adapter.norm_bias[branch.name][:, None] * branch.scaling)[:, 0]
        constant = shift if constant is None else constant + shift
        ups.append(adapter.spread(branch, adapter.norm_weight[branch.name][:, None] * centred * branch.scaling))
    return FoldedAfter(
        weight,
        _plus(bias, constant, weight),
        adapter.down()[0].to(weight.dtype, copy=True),
        torch.cat(ups, 1).to(weight.dtype),
        gram=_diagonal(grams).to(weight.dtype),
        members=_diagonal(members).to(weight.dtype),
        norm_eps=adapter.norm_eps,
    )


def _diagonal(blocks: list[Tensor]) -> Tensor:
    matrix: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    return matrix


def _plus(bias: Tensor | None, constant: Tensor | None, like: Tensor) -> Tensor | None:
    if constant is None:
        return bias
    constant = constant.to(like.dtype)
    return constant if bias is None else bias + constant


def patches(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the patches (b, rows, columns, 3 * kh * kw) in the order of a flattened kernel; a remainder is cut off."""
    batch, channels, height, width = images.shape
    rows, columns = height // size[0], width // size[1]
    images = images[:, :, : rows * size[0], : columns * size[1]]
    tiles = images.reshape(batch, channels, rows, size[0], columns, size[1])
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows, columns, -1)
