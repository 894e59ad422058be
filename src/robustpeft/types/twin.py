"""How is a model attacked without being touched? By attacking a frozen twin that shares its tensors.

The twin is a copy of the module tree, not of the weights: each module is copied shallowly, its parameters become
frozen views of the same storage, training mode is off, and a module that is `Foldable` is replaced by its folded
form. So no flag, gradient or hook of the user's model can change, whatever happens in between, nor a buffer that the
model itself leaves alone in eval mode.
"""

from __future__ import annotations

import copy
import functools
from typing import Any, cast

import torch
from torch import Tensor, nn

from robustpeft.types.model import Attackable, Classifier, Foldable

__all__ = ["attack_view", "frozen_twin"]


def attack_view(model: Classifier) -> Classifier:
    """Return what an attack may call: the model's own view, a frozen twin of any other module, or the callable."""
    if isinstance(model, Attackable):
        return model.attack_view()
    if isinstance(model, nn.Module):
        return frozen_twin(model)
    return model


@torch.no_grad()
def frozen_twin(module: nn.Module, *, fold: bool = True) -> nn.Module:
    """Return a frozen copy of `module` in eval mode that shares its parameters and buffers.

    Weight changes made in place (an optimiser's step) are seen by the twin, except in branches folded when it was made.

    Args:
        module: Any module; a scripted one cannot be copied shallowly and is copied whole.
        fold: Replace added branches by their folded form; without, the twin computes exactly what the module does.

    Cost:
        No pass through the model; about 10 microseconds per module, plus the folding of added branches.
    """
    return _twin(module, {}, fold)


def _twin(module: nn.Module, seen: dict[int, nn.Module], fold: bool) -> nn.Module:
    cls: type = type(module)
    if id(module) in seen:
        return seen[id(module)]
    if isinstance(module, torch.jit.ScriptModule):
        twin: nn.Module = copy.deepcopy(module).eval()
        for parameter in twin.parameters():  # a scripted module refuses Module.requires_grad_
            parameter.requires_grad_(False)
    elif fold and _folds(cls) and not _hooked(module):
        folded = cast(Any, module).folded()
        assert isinstance(folded, nn.Module)
        twin = folded.eval().requires_grad_(False)
    else:
        twin = cast(nn.Module, object.__new__(cls))  # copy.copy would do the same by way of pickling, ten times slower
        state: dict[str, Any] = dict(module.__dict__)
        twin.__dict__ = state
        state["training"] = False
        state["_parameters"] = {name: _frozen(p) for name, p in module._parameters.items()}
        state["_buffers"] = dict(module._buffers)
        for name, value in state.items():
            if name.endswith("hooks") and isinstance(value, dict):
                state[name] = value.copy()  # a hook added later to the one must not run in the other
        state["_modules"] = {}
        for name, child in module._modules.items():
            state["_modules"][name] = None if child is None else _twin(child, seen, fold)
    seen[id(module)] = twin
    return twin


@functools.cache
def _folds(cls: type) -> bool:
    """Return whether modules of this class are `Foldable`; asked once a class, because asking a protocol is slow."""
    return issubclass(cls, Foldable)


def _hooked(module: nn.Module) -> bool:
    """Return whether somebody put a hook on the module, which a folded form would not run."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _frozen(parameter: Tensor | None) -> nn.Parameter | None:
    return None if parameter is None else nn.Parameter(parameter.detach(), requires_grad=False)
