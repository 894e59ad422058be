"""How does a stranger's checkpoint get into a network? Whole, or not at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from robustpeft.backbones.weights import WeightsFile, fit_weights, read_weights
from robustpeft.errors import UserError

__all__ = ["checkpoint", "fill", "refuse_not_finite", "without_prefix"]

_PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "base_model.", "1.")  # 1.: behind a normalisation
_MANY = 3


def checkpoint(
    path: str | Path, wanted: Collection[str] = ()
) -> tuple[WeightsFile, dict[str, Tensor], tuple[str, ...]]:
    """Return a file, its tensors under plain names, and what was done to the names.

    Args:
        path: The file.
        wanted: Names in the network; where one of them is there, nothing is taken off.

    Raises:
        UserError: If it cannot be read without running code, or holds values that are not finite.
    """
    file = read_weights(Path(path).expanduser())
    refuse_not_finite(file.tensors, str(path))
    tensors, stripped = without_prefix(file.tensors, wanted)
    said = f"the prefix {stripped!r} was taken off the names in {file.path.name}"
    return file, tensors, (said,) if stripped else ()


def refuse_not_finite(tensors: Mapping[str, Tensor], origin: str) -> None:
    """Raise if a value is nan or infinite.

    Raises:
        UserError: Naming the tensors.
    """
    broken = [n for n, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    if broken:
        raise UserError(f"{origin} holds values that are not finite (nan or inf): {_listed(broken)}")


def without_prefix(tensors: Mapping[str, Tensor], wanted: Collection[str] = ()) -> tuple[dict[str, Tensor], str]:
    """Return the tensors without the prefixes that wrappers put before every name, and what was taken off."""
    plain, stripped = dict(tensors), ""
    while plain.keys().isdisjoint(wanted) and (prefix := _shared_prefix(plain)):
        plain = {name.removeprefix(prefix): tensor for name, tensor in plain.items()}
        stripped += prefix
    return plain, stripped


def fill(network: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Load the tensors into the network, head included; nothing may be missing and nothing left over.

    Raises:
        UserError: Naming what is missing, unexpected or of another shape.
    """
    if notes := fit_weights(network, tensors, (), origin):
        raise UserError(f"{origin} does not fit {type(network).__name__}: {'; '.join(notes)}")


def _shared_prefix(names: Collection[str]) -> str:
    if not names:
        return ""
    return next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in names)), "")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MANY]) + (f" and {len(names) - _MANY} more" if len(names) > _MANY else "")
