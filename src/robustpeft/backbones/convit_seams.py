"""Where are the seams of timm's ConViT?

Its first blocks have gated positional attention, with q and k in one layer and v in another, and see the patches
alone, on their square grid; the class token joins before the later blocks, which have one fused layer. The map of
relative positions to attention scores (``pos_proj``) reads no image and is no site.
"""

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
from robustpeft.types import Seams, Site

__all__ = ["convit_seams"]


def convit_seams(network: nn.Module) -> Seams:
    """Return the seams; there is no one sequence of tokens that all blocks take."""
    blocks = children_of(network, "blocks")
    sites = [Site("patch_embed", "patch_embed.proj")]
    for index, block in enumerate(blocks):
        sites += [
            Site("q", f"{block}.attn.qk", index, (0, 2)),
            Site("k", f"{block}.attn.qk", index, (1, 2)),
            Site("v", f"{block}.attn.v", index),
            *(Site(part, f"{block}.attn.qkv", index, (i, 3)) for i, part in enumerate(("q", "k", "v"))),
            Site("proj", f"{block}.attn.proj", index),
            Site("fc1", f"{block}.mlp.fc1", index),
            Site("fc2", f"{block}.mlp.fc2", index),
        ]
    width = cast(Any, network).embed_dim
    return Seams(
        family="convit",
        sites=sites_that_exist(network, sites),
        heads=linear_heads(network, "head"),
        blocks=blocks,
        norms=norms_of(network),
        embeddings=parameters_among(network, "cls_token", "pos_embed"),
        residuals=tuple(prenorm_residual(network, block, width) for block in blocks),
    )
