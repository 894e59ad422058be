"""How is the output of a frozen layer scaled and shifted, and folded away again?

For a layer that is affine in its output, ``op(x) = w * z(x) + b`` with one entry or row of w and one of b per channel,

    gamma * op(x) + beta = (gamma * w) * z(x) + (gamma * b + beta),

which is the same layer with other values. So the form for parameters that stand still costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustpeft.errors import UserError

__all__ = ["Scaled", "count_scaled"]

Operation = Callable[..., Tensor]  # of the inputs, the weight and the bias


class ScaleShift(nn.Module):
    """A factor and a summand per channel: gamma ~ N(1, std), beta ~ N(0, std) at the start."""

    def __init__(self, channels: int, std: float, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.gamma = nn.Parameter(1.0 + std * torch.randn(channels, generator=generator))
        self.beta = nn.Parameter(std * torch.randn(channels, generator=generator))

    def forward(self, output: Tensor, trailing: int) -> Tensor:
        """Return gamma * output + beta, in the type of the output; `trailing` dimensions follow the channels."""
        shape = (-1, *[1] * trailing)
        scaled = output.to(self.gamma.dtype) * self.gamma.reshape(shape) + self.beta.reshape(shape)
        return scaled.to(output.dtype)


class Scaled(nn.Module):
    """A frozen layer whose output is scaled and shifted; its weight and bias keep their names.

    Args:
        base: Linear, Conv2d or LayerNorm.
        path: Where it is, for the message.
        std: Standard deviation of the initial values around the identity.
        seed: Of the initial values.
        device: Of the scale and the shift, which stay float32: an optimiser's steps are lost in half precision.

    Raises:
        UserError: If the layer is of another kind.
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, base: nn.Module, path: str, std: float, seed: int, device: torch.device) -> None:
        super().__init__()
        self.operation, channels, self.trailing = _take_apart(base, path)
        self.register_parameter("weight", base.weight)  # type: ignore[arg-type]
        self.register_parameter("bias", base.bias)  # type: ignore[arg-type]
        self.adapter = ScaleShift(channels, std, seed).to(device)
        self.enabled = True

    def forward(self, inputs: Tensor) -> Tensor:
        """Return gamma * op(inputs) + beta."""
        output = self.operation(inputs, self.weight, self.bias)
        if not self.enabled:
            return output
        scaled: Tensor = self.adapter(output, self.trailing)
        return scaled

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """Return the same layer for parameters that stand still, in buffers of its own."""
        if not self.enabled:
            return FoldedLayer(self.operation, self.weight, self.bias)
        gamma, beta = self.adapter.gamma, self.adapter.beta
        if self.weight is None:
            weight = gamma.detach().clone()
        else:
            weight = (gamma.reshape(-1, *[1] * (self.weight.dim() - 1)) * self.weight).to(self.weight.dtype)
        bias = beta.clone() if self.bias is None else gamma * self.bias + beta
        return FoldedLayer(self.operation, weight, bias.to(weight.dtype))


class FoldedLayer(nn.Module):
    """A layer with the scale and the shift in its weight and bias."""

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, operation: Operation, weight: Tensor | None, bias: Tensor | None) -> None:
        super().__init__()
        self.operation = operation
        self.register_buffer("weight", None if weight is None else weight.detach(), persistent=False)
        self.register_buffer("bias", None if bias is None else bias.detach(), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return op(inputs)."""
        return self.operation(inputs, self.weight, self.bias)


def count_scaled(base: nn.Module, path: str) -> int:
    """Return two for each channel of the layer's output."""
    if isinstance(base, Scaled):
        return 2 * len(base.adapter.gamma)
    return 2 * _take_apart(base, path)[1]


def _take_apart(base: nn.Module, path: str) -> tuple[Operation, int, int]:
    """Return what the layer computes from its weight and bias, its channels, and how many dimensions follow them."""
    if isinstance(base, nn.Linear) and type(base).forward is nn.Linear.forward:
        return F.linear, base.out_features, 0
    if isinstance(base, nn.Conv2d) and type(base).forward is nn.Conv2d.forward and base.padding_mode == "zeros":
        convolve = partial(_convolve, base.stride, base.padding, base.dilation, base.groups)
        return convolve, base.out_channels, 2
    if isinstance(base, nn.LayerNorm) and len(base.normalized_shape) == 1 and not type(base).__name__.endswith("2d"):
        return partial(_normalize, base.eps), base.normalized_shape[0], 0
    raise UserError(f"{path} is a {type(base).__name__}; ssf scales what Linear, Conv2d and LayerNorm compute")


def _convolve(
    stride: tuple[int, ...],
    padding: str | tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
) -> Tensor:
    return F.conv2d(images, weight, bias, stride, padding, dilation, groups)


def _normalize(eps: float, tokens: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:], weight, bias, eps)
