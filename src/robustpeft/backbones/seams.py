"""Where are the seams of each family of networks? One map per family, found by what the network is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from robustpeft.backbones.convit_seams import convit_seams
from robustpeft.backbones.eva_seams import eva_seams
from robustpeft.backbones.hf_vit_seams import hf_vit_seams
from robustpeft.backbones.swin_seams import swin_seams
from robustpeft.backbones.vit_seams import vit_seams
from robustpeft.types import Seams

__all__ = ["FAMILIES", "SEAM_MAPS", "Family", "find_seams"]


@dataclass(frozen=True)
class Family:
    """Networks that have one map of seams.

    Args:
        covers: What belongs to it, in words.
        example: Name of one of them, for `load_backbone`; for networks that only `wrap` takes, their class.
        classes: Top-level package and class name of the networks; a subclass has the map of its base.
        seams: The map.
    """

    covers: str
    example: str
    classes: tuple[str, ...]
    seams: Callable[[nn.Module], Seams]


FAMILIES: Mapping[str, Family] = {
    "vit": Family(
        "ViT, DeiT (distilled too), DINOv2 (with registers too), CLIP image towers",
        "vit_base_patch16_224",
        ("timm.VisionTransformer", "timm.VisionTransformerDistilled"),
        vit_seams,
    ),
    "swin": Family(
        "Swin, Swin V2",
        "swin_tiny_patch4_window7_224",
        ("timm.SwinTransformer", "timm.SwinTransformerV2"),
        swin_seams,
    ),
    "convit": Family("ConViT", "convit_tiny", ("timm.ConVit",), convit_seams),
    "eva": Family("DINOv3, EVA, EVA-02", "vit_small_patch16_dinov3", ("timm.Eva",), eva_seams),
    "hf_vit": Family(
        "ViT of Hugging Face transformers, through wrap",
        "transformers.ViTForImageClassification",
        ("transformers.ViTForImageClassification",),
        hf_vit_seams,
    ),
}
"""Every family by its name, which its seams bear too."""

SEAM_MAPS: Mapping[str, Callable[[nn.Module], Seams]] = {
    name: family.seams for family in FAMILIES.values() for name in family.classes
}
"""Seam map by package and class name of the network; other packages have classes of the same name, made otherwise."""


def find_seams(network: nn.Module) -> Seams | None:
    """Return the seams of a network, or None if it belongs to none of the `FAMILIES`."""
    for cls in type(network).__mro__:
        name = f"{cls.__module__.partition('.')[0]}.{cls.__name__}"
        if name in SEAM_MAPS:
            return SEAM_MAPS[name](network)
    return None
