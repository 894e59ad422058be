"""How do several models have one backbone? Each has a module tree of its own, whose parameters share one storage."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.types import derive_seed

__all__ = ["share"]


@torch.no_grad()
def share(model: ImageClassifier, *, num_classes: int | None = None, seed: int = 0) -> ImageClassifier:
    """Return another model with the weights of `model`: a module tree of its own over the same storage.

    What is attached to one of them, trained and switched in it, does not reach the other: a parameter that an adapter
    trains moves to storage of its own when it is attached. So each costs its trained parameters and its module tree.
    Move `model` to its device before: moving later gives each its own weights.

    Args:
        model: Without attachments; not changed. Its weights must stay as they are from now on.
        num_classes: Width of new heads; None to have those of `model`.
        seed: Of the initial values of new heads, uniform on +-1/sqrt(in), biases too.

    Raises:
        UserError: If something is attached to `model`, or its heads are not known or no linear maps.
    """
    if model.attachments:
        raise UserError(f"{model.name} carries {len(model.attachments)} attachment; share the bare backbone, or detach")
    memo: dict[int, object] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=parameter.requires_grad)
        if not isinstance(module, _NormBase):  # the running statistics of these move in training
            memo |= {id(buffer): buffer for buffer in module.buffers(recurse=False)}
    twin = copy.deepcopy(model, memo)
    if num_classes is not None and num_classes != model.num_classes:
        _renew_heads(twin, num_classes, seed)
    return twin


def _renew_heads(model: ImageClassifier, num_classes: int, seed: int) -> None:
    heads = model.seams.heads if model.seams else ()
    if num_classes < 1:
        raise UserError(f"num_classes must be at least 1; got {num_classes}")
    if not heads:
        raise UserError(f"{model.name} has no head that is known, so it cannot get one of {num_classes} classes")
    for path in heads:
        old = model.network.get_submodule(path)
        if not isinstance(old, nn.Linear):
            raise UserError(f"the head {path} is a {type(old).__name__}, not a Linear that could be replaced")
        generator = torch.Generator().manual_seed(derive_seed(seed, path))
        bound = 1.0 / math.sqrt(old.in_features)
        new = nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
        for parameter in new.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
        new.to(old.weight).train(old.training)
        parent, _, leaf = path.rpartition(".")
        setattr(model.network.get_submodule(parent), leaf, new)
    if hasattr(model.network, "num_classes"):
        cast(Any, model.network).num_classes = num_classes
    model.num_classes = num_classes
    model.classes = ()
    if model.origin is not None:
        model.origin = dataclasses.replace(model.origin, num_classes=num_classes)
