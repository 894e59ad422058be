"""How is a model attacked without being touched? By attacking a frozen twin that shares its tensors.

The twin is a copy of the module tree, not of the weights: each module is copied shallowly, its parameters become
frozen views of the same storage, training mode is off, and a module that is `Foldable` is replaced by its folded
form. So no flag, gradient or hook of the user's model can change, whatever happens in between, nor a buffer that the
model itself leaves alone in eval mode.

What belongs to one module and not to its class is taken along: whatever leads from it to modules (a plain list of
them, a hook, ``model.forward = ...``) leads from its twin to their twins, see `Rebinding`; so modules that `eval()`
does not reach are in eval mode too. Compiled code is bound to the original, and runs in the original's mode; so the
twin of a compiled module is that of the module as it was written.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from types import FunctionType, MemberDescriptorType
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from robustpeft.errors import UserError
from robustpeft.types.model import Attackable, Classifier, Foldable
from robustpeft.types.rebinding import WALKED, Rebinding, globals_of

__all__ = ["attack_view", "frozen_twin"]

_TREE: Final = ("_parameters", "_buffers", "_modules")


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
    Modules that only an object of another class leads to, or a name of the file, stay the originals.

    Args:
        module: Any module; a scripted one cannot be copied shallowly and is copied whole.
        fold: Replace added branches by their folded form; without, the twin computes exactly what the module does.

    Raises:
        UserError: If a module in training mode has a forward of its own in which nothing can be bound to another module
            (a function without closure, a callable object, `functools.lru_cache`), or that finds a part of the model by
            a name of its file: it would run the original, in training mode.

    Cost:
        No pass through the model; about 15 microseconds per module, plus the folding of added branches and the search
        of what hangs on modules besides (`Rebinding`).
    """
    return _Twins(fold).made_of(module)


class _Twins:
    """The twins of one tree of modules, each made once.

    Args:
        fold: Replace added branches by their folded form.
    """

    def __init__(self, fold: bool) -> None:
        self._fold = fold
        self._seen: dict[int, nn.Module] = {}  # by the id of the original
        self._kept: list[nn.Module] = []  # the originals, so that no id is given twice
        self._doubtful: dict[int, Any] = {}  # a forward of its own, of an original in training mode

    def made_of(self, module: nn.Module) -> nn.Module:
        """Return the twin, with all that it leads to."""
        whole, rebound, done = self._twin(module), Rebinding(self._twin), 0
        while done < len(self._seen):  # attributes lead to more of them
            for key, twin in list(self._seen.items())[done:]:
                done += 1
                if isinstance(twin, torch.jit.ScriptModule):
                    continue
                attributes = vars(twin)
                for name, value in attributes.items():
                    led = type(value) in WALKED and value and name not in _TREE
                    if led or isinstance(value, nn.Module):
                        attributes[name] = rebound(value)
                for slot, value in _slotted(twin):
                    slot.__set__(twin, rebound(value))
                if key in self._doubtful:
                    self._check_forward(self._doubtful[key], twin)
        return whole

    def _twin(self, module: nn.Module) -> nn.Module:
        cls: type = type(module)
        if id(module) in self._seen:
            return self._seen[id(module)]
        if cls.__name__ == "OptimizedModule" and "_orig_mod" in module._modules:  # torch.compile(module)
            return self._twin(cast(nn.Module, module._modules["_orig_mod"]))
        if isinstance(module, torch.jit.ScriptModule):
            twin: nn.Module = copy.deepcopy(module).eval()
            for parameter in twin.parameters():  # a scripted module refuses Module.requires_grad_
                parameter.requires_grad_(False)
        elif self._fold and _folds(cls) and not _hooked(module):
            folded = cast(Any, module).folded()
            assert isinstance(folded, nn.Module)
            twin = folded.eval().requires_grad_(False)
        else:
            twin = self._shallow(module)
        self._seen[id(module)] = twin
        self._kept.append(module)
        return twin

    def _shallow(self, module: nn.Module) -> nn.Module:
        cls: type = type(module)
        twin = cast(nn.Module, object.__new__(cls))  # copy.copy would do the same by way of pickling, ten times slower
        state: dict[str, Any] = dict(module.__dict__)
        twin.__dict__ = state
        for slot, value in _slotted(module):
            slot.__set__(twin, value)
        if "forward" in state and any(part.training for part in module.modules()):
            self._doubtful[id(module)] = state["forward"]
        state["training"] = False
        state["_compiled_call_impl"] = None  # module.compile()
        state["_parameters"] = {name: _frozen(p) for name, p in module._parameters.items()}
        state["_buffers"] = dict(module._buffers)
        for name, value in state.items():
            if name.endswith("hooks") and isinstance(value, dict):
                state[name] = value.copy()  # a hook added later to the one must not run in the other
        state["_modules"] = {}
        for name, child in module._modules.items():
            state["_modules"][name] = None if child is None else self._twin(child)
        return twin

    def _check_forward(self, written: Any, twin: nn.Module) -> None:
        """Raise if what stands in the place of a forward may run the original."""
        by_name = isinstance(written, FunctionType) and any(
            id(written.__globals__.get(name)) in self._seen for name in globals_of(written.__code__)
        )
        if by_name or vars(twin)["forward"] is written:
            what = "function" if isinstance(written, FunctionType) else type(written).__name__
            raise UserError(
                f"a {type(twin).__name__} in training mode has a {what} put in the place of its forward, so it "
                "cannot be attacked without being trained; call eval() on the model, or put a method there "
                "(types.MethodType)"
            )


@functools.cache
def _folds(cls: type) -> bool:
    """Return whether modules of this class are `Foldable`; asked once a class, because asking a protocol is slow."""
    return issubclass(cls, Foldable)


@functools.cache
def _slots(cls: type) -> tuple[MemberDescriptorType, ...]:
    """Return the ``__slots__`` of a class and of those it derives from."""
    members = (member for base in cls.__mro__ for member in vars(base).values())
    return tuple(member for member in members if isinstance(member, MemberDescriptorType))


def _slotted(module: nn.Module) -> list[tuple[MemberDescriptorType, Any]]:
    """Return the slots that hold something, and what they hold."""
    cls: type = type(module)
    held = []
    for slot in _slots(cls):
        with contextlib.suppress(AttributeError):  # nothing was put there
            held.append((slot, slot.__get__(module)))
    return held


def _hooked(module: nn.Module) -> bool:
    """Return whether somebody put a hook on the module, which a folded form would not run."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _frozen(parameter: Tensor | None) -> nn.Parameter | None:
    return None if parameter is None else nn.Parameter(parameter.detach(), requires_grad=False)
