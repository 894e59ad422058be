"""How does a specimen carry an adapter? A random low-rank branch beside each linear map, and the means to go without.

    y = W x + b + s B A x,    ||s B A|| = 0.2 ||W||  (Frobenius)

The room of audits hears of no technique, so this is not the library's LoRA, only as much of one as an audit asks for:
a view, a switch, embeddings, and the list of what is attached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustpeft.auditing.specimens.leaves import LINEAR, exchange
from robustpeft.errors import UserError
from robustpeft.types import Classifier, frozen_twin

__all__ = ["Adapted", "Branch", "BranchFlaw", "adapted"]

_RANK = 2
_SIZE = 0.2


@dataclass(frozen=True)
class BranchFlaw:
    """What is wrong with a branch; nothing by default.

    Args:
        scaling: s; 1 in an honest branch.
        enabled: Whether it is switched on.
        blocks_gradient: Whether no gradient flows back through it.
        folded_sign: Of the branch in the folded form; 1 in an honest one.
    """

    scaling: float = 1.0
    enabled: bool = True
    blocks_gradient: bool = False
    folded_sign: float = 1.0


@final
class Branch(nn.Module):
    """A linear layer with a branch beside it, which folds into the weight."""

    def __init__(self, layer: nn.Linear, flaw: BranchFlaw, generator: torch.Generator) -> None:
        super().__init__()
        self.layer = layer
        self.flaw = flaw
        self.enabled = flaw.enabled
        down = torch.randn(_RANK, layer.in_features, generator=generator).to(layer.weight)
        up = torch.randn(layer.out_features, _RANK, generator=generator).to(layer.weight)
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(up * (_SIZE * layer.weight.detach().norm() / (up @ down).norm()))

    def forward(self, values: Tensor) -> Tensor:
        """Return the layer's output with the branch's."""
        output: Tensor = self.layer(values)
        if not self.enabled:
            return output
        entering = values.detach() if self.flaw.blocks_gradient else values
        through = functional.linear(functional.linear(entering, self.down), self.up)
        return output + self.flaw.scaling * through

    def folded(self) -> nn.Linear:
        """Return a linear layer that does the same, or should."""
        scale = self.flaw.folded_sign * self.flaw.scaling if self.enabled else 0.0
        with torch.no_grad():
            folded = nn.Linear(self.layer.in_features, self.layer.out_features, device="meta")
            folded.weight = nn.Parameter(self.layer.weight + scale * self.up @ self.down)
            bias: Tensor | None = self.layer.bias
            folded.register_parameter("bias", None if bias is None else nn.Parameter(bias.detach()))
        return folded


class Adapted(nn.Module):
    """A network with branches that shows itself to an adversary as `Attackable` asks.

    Args:
        network: With `Branch`es inside.
        view_of: What an attack is shown; by default the frozen twin, branches folded.

    Attributes:
        attachments: What can be switched off.
    """

    def __init__(self, network: nn.Module, view_of: Callable[[nn.Module], nn.Module] = frozen_twin) -> None:
        super().__init__()
        self.network = network
        self.view_of = view_of
        self.attachments = [_Switch(network)]
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.network(images)
        return logits

    def attack_view(self) -> Classifier:
        """Return what an attack is shown."""
        return self.view_of(self.network)

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within the context the model answers as if no branch had been added."""
        with ExitStack() as stack:
            for attachment in self.attachments:
                stack.enter_context(attachment.disabled())
            yield

    def features(self, images: Tensor) -> Tensor:
        """Return the embedding of the network, if it has one to give."""
        inner: Any = self.network
        if not hasattr(inner, "features"):
            raise UserError(f"{type(inner).__name__} has no features")
        embedding: Tensor = inner.features(images)
        return embedding


def adapted(
    model: nn.Module, flaw: BranchFlaw | None = None, view_of: Callable[[nn.Module], nn.Module] = frozen_twin
) -> Adapted:
    """Return the model with a branch beside every linear layer; the branches are the same for every flaw.

    Raises:
        UserError: If there is no linear layer.
    """
    generator = torch.Generator().manual_seed(0)
    network = exchange(model, LINEAR, lambda layer: Branch(_as_linear(layer), flaw or BranchFlaw(), generator))
    return Adapted(network, view_of)


class _Switch:
    """All branches of a network, as one attachment."""

    def __init__(self, network: nn.Module) -> None:
        self._branches = {name: module for name, module in network.named_modules() if isinstance(module, Branch)}

    def added_names(self) -> frozenset[str]:
        """Return the names of the tensors that were added."""
        return frozenset(f"{name}.{tensor}" for name in self._branches for tensor in ("down", "up"))

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within the context the branches are off."""
        before = {name: branch.enabled for name, branch in self._branches.items()}
        for branch in self._branches.values():
            branch.enabled = False
        try:
            yield
        finally:
            for name, branch in self._branches.items():
                branch.enabled = before[name]


def _as_linear(layer: nn.Module) -> nn.Linear:
    assert isinstance(layer, nn.Linear)
    return layer
