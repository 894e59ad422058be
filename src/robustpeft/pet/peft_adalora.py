"""How does AdaLoRA move rank between layers while it trains? PEFT's allocator, called after every step.

Source: AdaLoRA (Zhang et al., arXiv:2303.10512), section 3, as `peft.tuners.adalora` has it: every product is B diag(E)
A with B and A kept near orthogonal, and entries of E whose sensitivity is low are set to zero, until `target_r` are
left per layer on average. What differs: the number of steps is that of tuning and not an option. What was set to zero
stays in the file as a zero. A file from before the last allocation holds more rank than `target_r`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from robustpeft.errors import UserError

__all__ = ["LAYER_NAME", "RankMover"]

LAYER_NAME: Final = "default"
"""PEFT's name for an adapter that was given none."""

_SCORES = ("exp_avg_ipt", "exp_avg_unc")


class RankMover:
    """The rank allocation of one attached AdaLoRA, and the penalty that keeps its factors orthogonal.

    Args:
        layers: PEFT's own layers, in order.
        config: PEFT's configuration; its number of steps is set by the first step.
    """

    def __init__(self, layers: Sequence[nn.Module], config: Any) -> None:
        from peft.tuners.adalora import layer

        self._config = config
        self._layers = nn.ModuleList(layers)
        allocator: Any = layer.RankAllocator
        self._allocator = allocator(self._layers, config, LAYER_NAME)
        self._kept: dict[str, list[bool]] = {}

    def penalty(self) -> Tensor:
        """Return the weight times the mean over all factors P of || P P^T - I ||_F."""
        factors = [p if "lora_A" in n else p.T for n, p in self._layers.named_parameters() if _is_factor(n)]
        norms = [torch.linalg.matrix_norm(p @ p.T - torch.eye(len(p), device=p.device)) for p in factors]
        weight = float(self._config.orth_reg_weight)
        return weight * torch.stack(norms).mean()

    def after_step(self, done: int, of: int) -> None:
        """Update every entry's importance, and set to zero what the budget of this step leaves no room for.

        Raises:
            UserError: If there are too few steps for `tinit` and `tfinal`.
        """
        first, last = int(self._config.tinit), of - int(self._config.tfinal)
        if first >= last:
            raise UserError(
                f"peft:adalora moves rank between the steps tinit and steps - tfinal; got tinit {first} and tfinal "
                f"{of - last} for {of} steps of tuning"
            )
        self._allocator.set_total_step(of)
        if done <= last:
            _, kept = self._allocator.update_and_allocate(self._layers, done, force_mask=done == last)
            self._kept = kept or self._kept
        else:
            self._allocator.mask_using_rank_pattern(self._layers, self._kept)

    def state(self) -> dict[str, Tensor]:
        """Return the smoothed importances and which ranks are kept."""
        scores = {f"{kind}:{n}": t for kind in _SCORES for n, t in getattr(self._allocator, kind).items()}
        return scores | {f"kept:{n}": torch.tensor(rows) for n, rows in self._kept.items()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from `state`."""
        there = dict(self._layers.named_parameters())
        for kind in _SCORES:
            of_kind = {n.removeprefix(f"{kind}:"): t for n, t in tensors.items() if n.startswith(f"{kind}:")}
            setattr(self._allocator, kind, {n: t.to(there[n].device) for n, t in of_kind.items()})
        self._allocator.ipt = dict(self._allocator.exp_avg_ipt)  # only its names matter: values are drawn anew
        kept = {n.removeprefix("kept:"): t for n, t in tensors.items() if n.startswith("kept:")}
        self._kept = {n: [bool(row) for row in t.tolist()] for n, t in kept.items()}


def _is_factor(name: str) -> bool:
    return "lora_A." in name or "lora_B." in name
