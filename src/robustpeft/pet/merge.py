"""What would the weights of the network be with the adapter in them?"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from robustpeft.errors import UserError
from robustpeft.pet.handle import AdapterHandle
from robustpeft.pet.low_rank import FoldedPatches, Switchable
from robustpeft.pet.low_rank_folding import FoldedAfter, FoldedBefore
from robustpeft.types import Foldable

__all__ = ["merged_state", "merged_weights"]


@torch.no_grad()
def merged_weights(handle: AdapterHandle) -> dict[str, dict[str, Tensor]]:
    """Return ``weight`` and ``bias``, where it has one, of each layer that something stands for, by its path.

    Nothing is changed, and no tensor is shared with the model.

    Raises:
        UserError: If what was added is no fixed change of the weights, or is switched off at the moment.
    """
    why_not = f"{handle.method!r} cannot be merged: "
    if not handle.method.mergeable:
        raise UserError(
            f"{why_not}what it adds depends on each image by more than a linear map of a layer's input, so no weights "
            "equal it; keep the adapter beside the backbone, or export to ONNX"
        )
    layers = handle.layers()
    if any(isinstance(module, Switchable) and not module.enabled for module in layers.values()):
        raise UserError(f"{why_not}it is switched off; leave disabled() first")
    inside = tuple(f"{path}." for path in layers)
    if between := sorted(name for name in handle.added_names() if not name.startswith(inside)):
        raise UserError(f"{why_not}{between[0]} stands between layers, not in one")
    return {path: _weights(path, module, why_not) for path, module in layers.items()}


def merged_state(handle: AdapterHandle) -> dict[str, Tensor]:
    """Return the state dict that the network would have after `AdapterHandle.merge`; the model is not changed.

    Raises:
        UserError: If it cannot be merged.
    """
    state = handle.model.frozen_state()
    for path, weights in merged_weights(handle).items():
        state |= {f"{path}.{name}": values for name, values in weights.items()}
    return {name: tensor.detach() for name, tensor in state.items()}


def _weights(path: str, module: nn.Module, why_not: str) -> dict[str, Tensor]:
    folded: Any = module.folded() if isinstance(module, Foldable) else None
    if isinstance(folded, FoldedPatches):
        folded = folded.linear
    weight = getattr(folded, "weight", None)
    if not isinstance(weight, Tensor) or isinstance(folded, FoldedBefore | FoldedAfter):
        raise UserError(f"{why_not}the branch at {path} is no fixed change of its weight")
    if module.weight is None:
        raise UserError(f"{why_not}the layer at {path} has no weight of its own to fold it into")
    shape = cast(Tensor, module.weight).shape
    tensors = {"weight": weight.reshape(shape), "bias": folded.bias}
    return {name: tensor.detach().clone() for name, tensor in tensors.items() if tensor is not None}
