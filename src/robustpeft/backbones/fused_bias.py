"""Which attention passes by its own layer of q, k and v, and how is it made to call it?

timm's EVA and Swin V2 attention with a bias for q and v alone reads the weight of its fused layer and multiplies by
itself, so nothing in that layer's stead would run. Their own switch ``qkv_bias_separate`` makes them call the layer
and add the bias after it: the same numbers up to rounding.
"""

from __future__ import annotations

from torch import nn

__all__ = ["PAST_THE_MODULE", "call_the_qkv_layers", "passes_by_its_qkv"]

_SWITCH = "qkv_bias_separate"
PAST_THE_MODULE = (
    f"its attention multiplies by the weight of qkv without calling that layer: load it with rp.load_backbone, or set "
    f"{_SWITCH} = True on its attention modules before rp.wrap"
)


def passes_by_its_qkv(attention: nn.Module) -> bool:
    """Return whether this attention never calls its fused layer."""
    return getattr(attention, "q_bias", None) is not None and not getattr(attention, _SWITCH, True)


def call_the_qkv_layers(network: nn.Module) -> None:
    """Make every attention of `network` that has the switch call its fused layer, in place."""
    for module in network.modules():
        if passes_by_its_qkv(module):
            setattr(module, _SWITCH, True)
