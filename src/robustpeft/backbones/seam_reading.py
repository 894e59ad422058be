"""What does the seam map of any family read off a network?"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from robustpeft.types import Residual, Site

__all__ = ["children_of", "linear_heads", "norms_of", "parameters_among", "prenorm_residual", "sites_that_exist"]


def children_of(network: nn.Module, path: str) -> tuple[str, ...]:
    """Return the dotted paths of what the container at `path` holds, in order."""
    return tuple(f"{path}.{name}" for name, _ in network.get_submodule(path).named_children())


def sites_that_exist(network: nn.Module, sites: Iterable[Site]) -> tuple[Site, ...]:
    """Return those sites at which the network has a linear layer or a convolution, in the order given."""
    modules = dict(network.named_modules())
    return tuple(site for site in sites if isinstance(modules.get(site.module), nn.Linear | nn.Conv2d))


def linear_heads(network: nn.Module, *names: str) -> tuple[str, ...]:
    """Return those names at which the network has a linear layer; one built without classes has none."""
    modules = dict(network.named_modules())
    return tuple(name for name in names if isinstance(modules.get(name), nn.Linear))


def norms_of(network: nn.Module) -> tuple[str, ...]:
    """Return the paths of all normalisation layers of transformers."""
    return tuple(n for n, m in network.named_modules() if isinstance(m, nn.LayerNorm | nn.RMSNorm))


def parameters_among(network: nn.Module, *names: str) -> tuple[str, ...]:
    """Return those names that are parameters of the network."""
    parameters = dict(network.named_parameters())
    return tuple(name for name in names if name in parameters)


def prenorm_residual(network: nn.Module, block: str, width: int) -> Residual:
    """Return the branches of a block of timm's pre-norm kind, with its LayerScales where there are some.

    Drop paths are left out: a frozen network does not take them.
    """
    modules = dict(network.named_modules())

    def chain(*names: str) -> tuple[str, ...]:
        paths = (f"{block}.{name}" for name in names)
        return tuple(path for path in paths if not isinstance(modules.get(path, nn.Identity()), nn.Identity))

    return Residual(chain("norm1", "attn", "ls1"), chain("norm2", "mlp", "ls2"), width)
