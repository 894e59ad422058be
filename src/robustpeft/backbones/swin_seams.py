"""Where are the seams of timm's Swin Transformers, V1 and V2?

Their blocks take a map (b, h, w, c) whose width c grows from stage to stage. Inside a block the attention sees the
tokens window by window, shifted and padded, so what stands behind it may only act on each token alone. The MLP sees
all tokens as one sequence, and the norm in front of it is called with the stream itself.
"""

from __future__ import annotations

from torch import nn

from robustpeft.backbones.fused_bias import PAST_THE_MODULE, passes_by_its_qkv
from robustpeft.backbones.seam_reading import children_of, linear_heads, norms_of, sites_that_exist
from robustpeft.types import Residual, Seams, Site

__all__ = ["swin_seams"]


def swin_seams(network: nn.Module) -> Seams:
    """Return the seams; blocks are counted through all stages.

    The blocks of V2 have their norms at the end of the branches, so they have no residuals here.
    """
    blocks: list[str] = []
    sites = [Site("patch_embed", "patch_embed.proj")]
    past = False
    for stage in children_of(network, "layers"):
        sites.append(Site("reduction", f"{stage}.downsample.reduction"))
        for block in children_of(network, f"{stage}.blocks"):
            index = len(blocks)
            if passes_by_its_qkv(network.get_submodule(f"{block}.attn")):
                past = True
            else:
                sites += [Site(part, f"{block}.attn.qkv", index, (i, 3)) for i, part in enumerate(("q", "k", "v"))]
            sites += [
                Site("proj", f"{block}.attn.proj", index),
                Site("fc1", f"{block}.mlp.fc1", index),
                Site("fc2", f"{block}.mlp.fc2", index),
            ]
            blocks.append(block)
    return Seams(
        family="swin",
        sites=sites_that_exist(network, sites),
        heads=linear_heads(network, "head.fc"),
        blocks=tuple(blocks),
        norms=norms_of(network),
        residuals=_residuals(network, blocks),
        absent=PAST_THE_MODULE if past else "",
    )


def _residuals(network: nn.Module, blocks: list[str]) -> tuple[Residual, ...]:
    residuals = []
    for block in blocks:
        if not any(cls.__name__ == "SwinTransformerBlock" for cls in type(network.get_submodule(block)).__mro__):
            return ()
        width = network.get_submodule(f"{block}.mlp.fc1").in_features
        assert isinstance(width, int)
        residuals.append(Residual((f"{block}.attn",), (f"{block}.norm2", f"{block}.mlp"), width))
    return tuple(residuals)
