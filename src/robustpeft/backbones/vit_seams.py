"""Where are the seams of timm's VisionTransformer: ViT, DeiT (distilled too), DINOv2, CLIP image towers?"""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from robustpeft.backbones.seam_reading import (
    children_of,
    linear_heads,
    norms_of,
    parameters_among,
    prenorm_residual,
    sites_that_exist,
)
from robustpeft.types import Residual, Seams, Site

__all__ = ["vit_seams"]


def vit_seams(network: nn.Module) -> Seams:
    """Return the seams; one fused layer computes q, k and v, in this order."""
    blocks = children_of(network, "blocks")
    sites = [Site("patch_embed", "patch_embed.proj")]
    for index, block in enumerate(blocks):
        sites += [Site(part, f"{block}.attn.qkv", index, (i, 3)) for i, part in enumerate(("q", "k", "v"))]
        sites += [
            Site("proj", f"{block}.attn.proj", index),
            Site("fc1", f"{block}.mlp.fc1", index),
            Site("fc2", f"{block}.mlp.fc2", index),
        ]
    return Seams(
        family="vit",
        sites=sites_that_exist(network, sites),
        heads=linear_heads(network, "head", "head_dist"),
        blocks=blocks,
        norms=norms_of(network),
        embeddings=parameters_among(network, "cls_token", "dist_token", "reg_token", "pos_embed"),
        residuals=_residuals(network, blocks),
        prefix_tokens=cast(Any, network).num_prefix_tokens,
    )


def _residuals(network: nn.Module, blocks: tuple[str, ...]) -> tuple[Residual, ...]:
    """Return the branches of timm's `Block`.

    Other blocks have modules of the same names in another order (the norm last, branches in parallel).
    """
    for block in blocks:
        if not any(cls.__name__ == "Block" for cls in type(network.get_submodule(block)).__mro__):
            return ()
    return tuple(prenorm_residual(network, block, cast(Any, network).embed_dim) for block in blocks)
