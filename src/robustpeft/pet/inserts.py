"""How does a technique reach the stream between two layers? By a new module at a seam, which a hook there runs.

A hook holds no module: it is a plain function that looks the new one up, by name, in the module that it is called with.
So a twin or a copy of the network runs its own. Nor does a hook keep anything between calls: what it hands on to a
later one travels as an attribute of the tensor between them, and ends with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any, final

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from robustpeft.errors import UserError

__all__ = ["After", "Before", "Beside", "Insert"]

_STREAM = "_robustpeft_stream"


@dataclass(frozen=True)
class Insert(ABC):
    """A new module and where it runs.

    Args:
        host: Dotted path of the module of the network that owns the new one from now on.
        name: Name of the new module in its host.
        module: `Switchable`; with `enabled` off it returns its first input as it is.
    """

    host: str
    name: str
    module: nn.Module

    def install(self, network: nn.Module) -> list[RemovableHandle]:
        """Put the module, on the device of its host, and its hooks into the network; return what removes the hooks.

        A host without parameters, a drop path for example, is where the rest of the network is.

        The module stays float32: an optimiser's steps are lost in half precision.
        """
        host = network.get_submodule(self.host)
        parameter = next(host.parameters(), None)
        self.module.to((next(network.parameters()) if parameter is None else parameter).device)
        host.add_module(self.name, self.module.train(host.training))
        return self._hook(network, host)

    def remove(self, network: nn.Module) -> None:
        """Take the module out again; its hooks are removed by what `install` returned."""
        delattr(network.get_submodule(self.host), self.name)

    @abstractmethod
    def _hook(self, network: nn.Module, host: nn.Module) -> list[RemovableHandle]: ...


@final
@dataclass(frozen=True)
class Before(Insert):
    """The host is called with what the module makes of its first input."""

    def _hook(self, network: nn.Module, host: nn.Module) -> list[RemovableHandle]:
        return [host.register_forward_pre_hook(partial(_before, self.name))]


@final
@dataclass(frozen=True)
class After(Insert):
    """The host answers with what the module makes of its output."""

    def _hook(self, network: nn.Module, host: nn.Module) -> list[RemovableHandle]:
        return [host.register_forward_hook(partial(_after, self.name))]


@final
@dataclass(frozen=True)
class Beside(Insert):
    """The host, last of a residual branch, answers with what the module makes of its output and of the stream.

    Args:
        chain: The modules of the branch before the host, in order; the first of them is called with the stream.
    """

    chain: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.chain:
            raise UserError(f"nothing can be put beside {self.host}: it is not known where its branch begins")

    def _hook(self, network: nn.Module, host: nn.Module) -> list[RemovableHandle]:
        first, *middle = (network.get_submodule(path) for path in self.chain)
        return [
            first.register_forward_hook(_begin),
            *(module.register_forward_hook(_pass_on) for module in middle),
            host.register_forward_hook(partial(_beside, self.name)),
        ]


def _before(name: str, host: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return getattr(host, name)(inputs[0]), *inputs[1:]


def _after(name: str, host: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    return _with_tokens(output, getattr(host, name)(_tokens(output)))


def _begin(host: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
    setattr(output, _STREAM, inputs[0])


def _pass_on(host: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
    setattr(_tokens(output), _STREAM, getattr(inputs[0], _STREAM))


def _beside(name: str, host: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    return _with_tokens(output, getattr(host, name)(_tokens(output), getattr(inputs[0], _STREAM)))


def _tokens(output: Any) -> Tensor:
    """Return the tokens of what a module returned: some, as the attention of transformers, return more than these."""
    tokens: Tensor = output[0] if isinstance(output, tuple) else output
    return tokens


def _with_tokens(output: Any, tokens: Tensor) -> Any:
    return (tokens, *output[1:]) if isinstance(output, tuple) else tokens
