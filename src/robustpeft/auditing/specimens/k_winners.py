"""What if only the largest activations of a layer go on? The function jumps wherever two of them change places.

Source: Xiao et al. 2020, arXiv:1905.10510 (k-WTA), Section 3; broken by Tramer et al. 2020, arXiv:2002.08347,
Section 5. Differs: on top of the activation of a network that was trained without it.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustpeft.auditing.specimens.leaves import ACTIVATIONS, exchange

__all__ = ["KWinners", "k_winners"]

_SHARE = 0.2


def k_winners(model: nn.Module) -> nn.Module:
    """Return the model in which a fifth of each layer's activations, the largest in size, are kept."""
    return exchange(model, ACTIVATIONS, lambda layer: nn.Sequential(layer, KWinners(_SHARE)))


class KWinners(nn.Module):
    """Keeps a share of the values along the last dimension, at least one; ties are all kept."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Return the values, most of them zero."""
        k = max(1, round(self.share * values.shape[-1]))
        least = values.detach().abs().topk(k, dim=-1).values[..., -1:]
        return values * (values.detach().abs() >= least).to(values.dtype)
