"""Which honest models may a hasty check take for broken ones? Those that differ in form, scale or precision only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from robustpeft.auditing.specimens.around import Around
from robustpeft.auditing.specimens.branch import adapted
from robustpeft.auditing.specimens.leaves import LINEAR, exchange
from robustpeft.types import frozen_twin

__all__ = [
    "autocast",
    "batch_norm_in_eval",
    "centred_logits",
    "checkpointed",
    "cooled",
    "cropped",
    "half_precision",
    "layer_scale",
    "log_probabilities",
    "smooth",
    "undefended",
    "warmed",
    "with_adapter",
]

_LAYER_SCALE = 1e-3


def undefended(model: nn.Module) -> nn.Module:
    """Return the model itself."""
    return model


def smooth(model: nn.Module) -> nn.Module:
    """Return the model behind a blur, its logits halved: flatter around its images, as adversarially trained ones are.

    A stand-in that needs no training; its gradients are exact.
    """
    return Around(model, before=_blurred, after=lambda logits: 0.5 * logits)


def batch_norm_in_eval(model: nn.Module) -> nn.Module:
    """Return the model behind batch normalisation in eval mode; weights undo statistics, so answers stay."""
    norm = nn.BatchNorm2d(3)
    mean, variance = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.05, 0.06, 0.07])
    with torch.no_grad():
        norm.running_mean, norm.running_var = mean, variance
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean)
    parameter = next(model.parameters(), None)
    around = Around(model, before=norm if parameter is None else norm.to(parameter.device))
    norm.eval()
    return around


def layer_scale(model: nn.Module) -> nn.Module:
    """Return the model with a LayerScale of 0.001 behind every linear layer, whose weights are larger by as much."""
    return exchange(model, LINEAR, _LayerScaled)


def half_precision(model: nn.Module) -> nn.Module:
    """Return the model in bfloat16, its logits too: coarse, and equal ones occur."""
    return Around(frozen_twin(model, fold=False).bfloat16(), before=lambda images: images.to(torch.bfloat16))


def autocast(model: nn.Module) -> nn.Module:
    """Return the model with float32 weights whose products are computed in bfloat16."""
    return _Autocast(model)


def log_probabilities(model: nn.Module) -> nn.Module:
    """Return the logarithms of the probabilities: logits like any others, all negative."""
    return Around(model, after=lambda logits: torch.log_softmax(logits, dim=1))


def centred_logits(model: nn.Module) -> nn.Module:
    """Return logits less their largest, detached: a part of the graph is cut, no loss of differences notices."""
    return Around(model, after=lambda logits: logits - logits.amax(dim=1, keepdim=True).detach())


def cooled(model: nn.Module) -> nn.Module:
    """Return the model with logits divided by 20: small gradients, and an unsure look."""
    return Around(model, after=lambda logits: logits / 20)


def warmed(model: nn.Module) -> nn.Module:
    """Return the model with logits tripled."""
    return Around(model, after=lambda logits: logits * 3)


def cropped(model: nn.Module) -> nn.Module:
    """Return the model that sees its images without the outermost pixels: these have the gradient zero, and rightly."""
    return Around(model, before=_without_border)


def checkpointed(model: nn.Module) -> nn.Module:
    """Return the model computed again in the backward pass instead of being kept: autograd within autograd."""
    return _Checkpointed(model)


def with_adapter(model: nn.Module) -> nn.Module:
    """Return the model with a low-rank adapter that is in force and folds as it should."""
    return adapted(model)


def _blurred(images: Tensor) -> Tensor:
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    return 0.5 * images + 0.5 * functional.avg_pool2d(padded, 3, stride=1)


def _without_border(images: Tensor) -> Tensor:
    return functional.pad(images[:, :, 1:-1, 1:-1], (1, 1, 1, 1))


class _LayerScaled(nn.Module):
    """``gamma * ((W / gamma) x + b / gamma)``."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, nn.Linear)
        self.gamma = nn.Parameter(torch.full((layer.out_features,), _LAYER_SCALE).to(layer.weight))
        self.weight = nn.Parameter(layer.weight.detach() / _LAYER_SCALE)
        bias: Tensor | None = layer.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach() / _LAYER_SCALE)

    def forward(self, values: Tensor) -> Tensor:
        """Return what the linear layer would."""
        return self.gamma * functional.linear(values, self.weight, self.bias)


class _Autocast(nn.Module):
    """Computes within torch's autocast."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.training = inner.training

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits in float32."""
        with torch.autocast(images.device.type, torch.bfloat16):
            logits: Tensor = self.inner(images)
        return logits.float()


class _Checkpointed(nn.Module):
    """Keeps its input alone for the backward pass."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.training = inner.training

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = checkpoint(self.inner, images, use_reentrant=False)
        return logits
