"""What if the adapter is not in force, or what is attacked is not what is used?

Source: reports to libraries of adapters (a merged model that answers otherwise, an adapter that was loaded and is not
active); Pintor et al. 2022, arXiv:2106.09947, Section 3, on attacking something else than what is judged.
"""

from __future__ import annotations

from torch import nn

from robustpeft.auditing.specimens.branch import Adapted, BranchFlaw, adapted
from robustpeft.types import frozen_twin

__all__ = [
    "adapter_blocks_gradient",
    "adapter_disabled",
    "adapter_scaled_to_zero",
    "view_folded_wrongly",
    "view_without_adapter",
]


def adapter_scaled_to_zero(model: nn.Module) -> nn.Module:
    """Return the model with an adapter whose scaling is 0: it is there, is saved and counted, and does nothing."""
    return adapted(model, BranchFlaw(scaling=0.0))


def adapter_disabled(model: nn.Module) -> nn.Module:
    """Return the model with an adapter that somebody has switched off."""
    return adapted(model, BranchFlaw(enabled=False))


def adapter_blocks_gradient(model: nn.Module) -> nn.Module:
    """Return the model with an adapter through which no gradient flows; unfolded, attacks see the frozen network."""
    return adapted(model, BranchFlaw(blocks_gradient=True), view_of=lambda network: frozen_twin(network, fold=False))


def view_folded_wrongly(model: nn.Module) -> nn.Module:
    """Return the model with an adapter that is subtracted in the folded form, which is the one that is attacked."""
    return adapted(model, BranchFlaw(folded_sign=-1.0))


def view_without_adapter(model: nn.Module) -> nn.Module:
    """Return the model with an adapter that shows attacks the network as it was before."""

    def without(network: nn.Module) -> nn.Module:
        with Adapted(network).disabled():
            return frozen_twin(network)

    return adapted(model, view_of=without)
