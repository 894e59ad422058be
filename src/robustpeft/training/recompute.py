"""What need a training pass not keep? What a GELU or a LayerNorm returned: its input is kept anyway.

A GELU and a LayerNorm keep their input for their own backward; the layer behind keeps their output for the gradient of
what is trained there, which with low-rank branches everywhere is every layer. The output is computed again instead, by
the same module from the same numbers, so that gradients are the same bit for bit. In a ViT this is 6 of 16 tensors
(tokens, width) a block.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_hook

__all__ = ["recomputing", "saving"]

_CHEAP = (nn.GELU, nn.LayerNorm)
_Hooks = tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]
_SAVING: ContextVar[_Hooks] = ContextVar("saving", default=(lambda tensor: tensor, lambda tensor: tensor))


@contextmanager
def saving(pack: Callable[[Tensor], Any], unpack: Callable[[Any], Tensor]) -> Iterator[None]:
    """Within the context `pack` sees what autograd keeps, also what is left to keep within `recomputing`.

    Torch itself calls the innermost hooks alone.
    """
    token = _SAVING.set((pack, unpack))
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            yield
    finally:
        _SAVING.reset(token)


@contextmanager
def recomputing() -> Iterator[None]:
    """Within the context, what a GELU or a LayerNorm returns is computed again where a backward needs it.

    That holds for every module, so also for those of an attack's view. The backward may come later, but before a
    parameter changes.

    Cost:
        A GELU or a LayerNorm more for each tensor that is not kept.
    """
    made: dict[int, _Made] = {}
    keep, give = _SAVING.get()

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        if isinstance(module, _CHEAP) and len(inputs) == 1 and output.requires_grad:
            address = output.untyped_storage().data_ptr()
            gone = weakref.ref(output, lambda ref: made.pop(address) if _is_of(made.get(address), ref) else None)
            made[address] = _Made(module, pack(inputs[0].detach()), gone, output._version)

    def pack(tensor: Tensor) -> _Kept | _Recipe:
        found = made.get(tensor.untyped_storage().data_ptr())
        if found is None or not found.still_there():
            return _Kept(keep(tensor), tensor._version)
        return _Recipe(found, (tensor.size(), tensor.stride(), tensor.storage_offset()))

    def unpack(held: _Kept | _Recipe) -> Tensor:
        if isinstance(held, _Recipe):
            return held.cook(unpack(held.made.source))
        tensor = give(held.what)
        if tensor._version != held.version:  # torch itself does not look where hooks are
            raise RuntimeError("a tensor that a backward needs was changed in place after it was kept")
        return tensor

    hook = register_module_forward_hook(note)
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            yield
    finally:
        hook.remove()


@dataclass(frozen=True)
class _Kept:
    """A tensor as those outside keep it, and how often it had been changed in place."""

    what: Any
    version: int


class _Made:
    """Which module made a tensor of what. The tensor is known by its address, so it must be seen to live still."""

    def __init__(self, module: nn.Module, source: Any, output: weakref.ref[Tensor], version: int) -> None:
        self.module, self.source, self.output, self._version = module, source, output, version
        self.weights: dict[str, Tensor] = dict(
            module.named_parameters()
        )  # `functional_call` puts others in for a while
        made = output()
        assert made is not None
        device = made.device.type
        self.autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))

    def still_there(self) -> bool:
        output = self.output()
        return output is not None and output._version == self._version


@dataclass(frozen=True)
class _Recipe:
    """What stands for a tensor, or for a view of it, until a backward asks for it."""

    made: _Made
    geometry: tuple[Any, Any, Any]

    @torch.no_grad()
    def cook(self, source: Tensor) -> Tensor:
        device, dtype, enabled = self.made.autocast
        with torch.autocast(device, dtype=dtype, enabled=enabled, cache_enabled=False):
            output: Tensor = functional_call(self.made.module, self.made.weights, (source,))
        return output.as_strided(*self.geometry)


def _is_of(made: _Made | None, ref: weakref.ref[Tensor]) -> bool:
    return made is not None and made.output is ref
