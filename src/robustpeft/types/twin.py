"""How is a model attacked without being touched? By attacking a frozen twin that shares its tensors.

The twin is a copy of the module tree, not of the weights: each module is copied shallowly, its parameters become
frozen views of the same storage, training mode is off, and a module that is `Foldable` is replaced by its folded
form. So no flag, gradient or hook of the user's model can change, whatever happens in between, nor a buffer that the
model itself leaves alone in eval mode.

What belongs to one module and not to its class is taken along: a method that was put on the module (``model.forward =
...``) is bound to the twin. Compiled code is bound to the original, and runs in the original's mode; so the twin of a
compiled module is that of the module as it was written.
"""

from __future__ import annotations

import copy
import functools
from types import FunctionType, MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn

from robustpeft.errors import UserError
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

    Raises:
        UserError: If a module in training mode has a function of its own as its forward, which cannot be bound to
            another module: it would run the original, in training mode.

    Cost:
        No pass through the model; about 10 microseconds per module, plus the folding of added branches.
    """
    seen: dict[int, nn.Module] = {}
    twin = _twin(module, seen, fold)
    for each in seen.values():
        for name, value in vars(each).items():
            if type(value) in (MethodType, functools.partial):
                vars(each)[name] = _rebound(value, seen)
    return twin


def _twin(module: nn.Module, seen: dict[int, nn.Module], fold: bool) -> nn.Module:
    cls: type = type(module)
    if id(module) in seen:
        return seen[id(module)]
    if cls.__name__ == "OptimizedModule" and "_orig_mod" in module._modules:  # torch.compile(module)
        return _twin(cast(nn.Module, module._modules["_orig_mod"]), seen, fold)
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
        if isinstance(state.get("forward"), FunctionType) and any(part.training for part in module.modules()):
            raise UserError(
                f"a {cls.__name__} in training mode has a function put in the place of its forward, so it cannot be "
                "attacked without being trained; call eval() on the model, or put a method there (types.MethodType)"
            )
        state["training"] = False
        state["_compiled_call_impl"] = None  # module.compile()
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


def _rebound(value: Any, seen: dict[int, nn.Module]) -> Any:
    """Return a method or partial with every original module in it replaced by its twin."""
    if isinstance(value, MethodType):
        return MethodType(value.__func__, seen[id(value.__self__)]) if id(value.__self__) in seen else value
    if isinstance(value, functools.partial):
        args = [_rebound(arg, seen) for arg in value.args]
        return functools.partial(
            _rebound(value.func, seen), *args, **{name: _rebound(arg, seen) for name, arg in value.keywords.items()}
        )
    return seen.get(id(value), value) if isinstance(value, nn.Module) else value


def _frozen(parameter: Tensor | None) -> nn.Parameter | None:
    return None if parameter is None else nn.Parameter(parameter.detach(), requires_grad=False)
