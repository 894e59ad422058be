"""How is a specimen put inside a network? On a twin that shares the weights, with some of its layers exchanged."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from robustpeft.errors import UserError
from robustpeft.types import frozen_twin

__all__ = ["ACTIVATIONS", "CONVOLUTIONS", "LINEAR", "exchange"]

ACTIVATIONS: tuple[type[nn.Module], ...] = (nn.GELU, nn.ReLU, nn.SiLU, nn.Tanh)
CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv2d,)
LINEAR: tuple[type[nn.Module], ...] = (nn.Linear,)


def exchange(model: nn.Module, kinds: tuple[type[nn.Module], ...], make: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Return a twin of `model` in eval mode in which ``make(layer)`` stands for each layer of these very types.

    Args:
        model: Not changed.
        kinds: Subclasses do not count: some (of attention) are read by their owner without being called.
        make: May keep the layer inside what it returns.

    Raises:
        UserError: If there is no such layer.
    """
    twin = frozen_twin(model, fold=False)
    places = [
        (owner, name, child)
        for owner in twin.modules()
        for name, child in owner.named_children()
        if type(child) in kinds
    ]
    if not places:
        wanted = ", ".join(kind.__name__ for kind in kinds)
        raise UserError(f"this specimen exchanges layers of type {wanted}; {type(model).__name__} has none")
    for owner, name, child in places:
        setattr(owner, name, make(child).eval())
    return twin
