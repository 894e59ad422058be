"""Is the model still the one it was? Its tensors, gradients, training flags and the global chance, before and after."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustpeft.types import Classifier

__all__ = ["Fingerprint", "fingerprint"]


@dataclass(frozen=True)
class Fingerprint:
    """What an audit must not change.

    Args:
        parameters: Digest of every parameter, by name.
        buffers: Likewise of every buffer.
        gradients: Likewise of every gradient that was there.
        training: Names of the modules in training mode.
        chance: Digest of the global random state.
    """

    parameters: dict[str, str]
    buffers: dict[str, str]
    gradients: dict[str, str]
    training: frozenset[str]
    chance: str

    def differences(self, other: Fingerprint) -> list[str]:
        """Return in words what is not the same in `other`; empty if everything is."""
        found = []
        for what in ("parameters", "buffers", "gradients"):
            mine, theirs = getattr(self, what), getattr(other, what)
            changed = [name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)]
            if changed:
                found.append(f"{what} {_some(changed)}")
        if modes := self.training ^ other.training:
            found.append(f"the training mode of {_some(list(modes))}")
        if self.chance != other.chance:
            found.append("the global random state")
        return found


def fingerprint(model: Classifier) -> Fingerprint:
    """Return what can be told of a model without calling it; of a plain callable, the global random state alone.

    Cost:
        One read of all weights, about 1 s per GB.
    """
    chance = _digest(torch.get_rng_state())
    if not isinstance(model, nn.Module):
        return Fingerprint({}, {}, {}, frozenset(), chance)
    parameters = dict(model.named_parameters())
    return Fingerprint(
        parameters={name: _digest(parameter) for name, parameter in parameters.items()},
        buffers={name: _digest(buffer) for name, buffer in model.named_buffers()},
        gradients={name: _digest(p.grad) for name, p in parameters.items() if p.grad is not None},
        training=frozenset(name or "the model" for name, module in model.named_modules() if module.training),
        chance=chance,
    )


def _digest(tensor: Tensor) -> str:
    values = tensor.detach().cpu().contiguous().flatten()
    return hashlib.sha256(values.view(torch.uint8).numpy().tobytes() if values.numel() else b"").hexdigest()


def _some(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
