"""How are the gradients of some attention branches dropped, in an attack only? By hooks on the view that is attacked.

The view is a twin of the model (types/twin.py), so the model itself never carries such a hook.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from robustpeft.errors import UserError
from robustpeft.types import Classifier, Noise, Seams

__all__ = ["AttentionGates"]


@runtime_checkable
class _Seamed(Protocol):
    """A view of a network whose seams are known."""

    network: nn.Module
    seams: Seams | None


class AttentionGates:
    """The view, answering as ever, but with attention branches through which no gradient flows back.

    In the n-th call each block's branch is open with probability `keep`, for all images alike. One of them is open in
    any case: what reads a class token alone would otherwise have no gradient at the image at all.

    Args:
        view: What is attacked; it belongs to nobody else.
        keep: Probability that a branch is open, in [0, 1].
        seed: Of the choice, which depends on nothing else but the number of the call and the block.

    Raises:
        UserError: If the attention branches of the view are not known.
    """

    def __init__(self, view: Classifier, keep: float, seed: int) -> None:
        if not isinstance(view, _Seamed) or view.seams is None:
            raise UserError(
                "where the attention branches of this model are is not known, so none can be dropped; "
                "set attention=False, or load a timm ViT with rp.load_backbone"
            )
        branches = [residual.attn[-1] for residual in view.seams.require_residuals()]
        self._view, self._keep = view, keep
        self._noise = Noise(seed, torch.zeros(1, dtype=torch.int64), "AttentionGates")
        self._open = [True] * len(branches)
        self._calls = 0
        for number, path in enumerate(branches):
            view.network.get_submodule(path).register_forward_hook(self._gate(number))

    def __call__(self, points: Tensor) -> Tensor:
        """Return the view's logits."""
        drawn = self._noise.at(step=self._calls).uniform((len(self._open),))[0]
        self._open = ((drawn < self._keep) | (drawn == drawn.min())).tolist()
        self._calls += 1
        logits: Tensor = self._view(points)
        return logits

    def _gate(self, number: int) -> Any:
        return lambda module, inputs, output: output if self._open[number] else output.detach()
