"""Where are the seams of each family of networks? One map per family, found by what the network is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import nn

from robustpeft.types import Residual, Seams, Site

__all__ = ["SEAM_MAPS", "find_seams"]


def _vit_seams(network: nn.Module) -> Seams:
    """Return the seams of timm's VisionTransformer: ViT, DeiT (distilled too), DINOv2, CLIP image towers."""
    modules = dict(network.named_modules())
    blocks = tuple(f"blocks.{i}" for i in range(len(network.get_submodule("blocks")._modules)))
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
        sites=tuple(s for s in sites if isinstance(modules.get(s.module), nn.Linear | nn.Conv2d)),
        heads=tuple(h for h in ("head", "head_dist") if isinstance(modules.get(h), nn.Linear)),
        blocks=blocks,
        norms=tuple(name for name, module in modules.items() if isinstance(module, nn.LayerNorm)),
        embeddings=tuple(
            name
            for name in ("cls_token", "dist_token", "reg_token", "pos_embed")
            if isinstance(getattr(network, name, None), nn.Parameter)
        ),
        residuals=_residuals(network, blocks),
        prefix_tokens=cast(Any, network).num_prefix_tokens,
    )


def _residuals(network: nn.Module, blocks: tuple[str, ...]) -> tuple[Residual, ...]:
    """Return the branches of timm's pre-norm `Block`, less drop paths, which a frozen network does not take.

    Other blocks have modules of the same names in another order (the norm last, branches in parallel).
    """
    modules = dict(network.named_modules())
    residuals = []
    for block in blocks:
        if not any(cls.__name__ == "Block" for cls in type(modules[block]).__mro__):
            return ()
        attn, mlp = (
            tuple(f"{block}.{name}" for name in chain if not isinstance(modules[f"{block}.{name}"], nn.Identity))
            for chain in (("norm1", "attn", "ls1"), ("norm2", "mlp", "ls2"))
        )
        residuals.append(Residual(attn, mlp, cast(Any, network).embed_dim))
    return tuple(residuals)


SEAM_MAPS: Mapping[str, Callable[[nn.Module], Seams]] = {
    "VisionTransformer": _vit_seams,
    "VisionTransformerDistilled": _vit_seams,
}
"""Seam map by the class name of the network; a subclass has the map of its base."""


def find_seams(network: nn.Module) -> Seams | None:
    """Return the seams of a network, or None if it belongs to no family in `SEAM_MAPS`."""
    for cls in type(network).__mro__:
        if cls.__name__ in SEAM_MAPS:
            return SEAM_MAPS[cls.__name__](network)
    return None
