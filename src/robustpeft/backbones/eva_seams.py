"""Where are the seams of timm's Eva: EVA, EVA-02 and DINOv3?

Three things differ from a ViT. LayerScales are bare parameters (``gamma_1``, ``gamma_2``): what is added to the stream
is known only at the drop path behind them, so there something can be put behind a branch and nothing beside it. Rotary
position embeddings count the tokens, so the sequence holds no prompts. Gated MLPs have two maps in, both called fc1,
in one layer or in two.
"""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from robustpeft.backbones.fused_bias import PAST_THE_MODULE, passes_by_its_qkv
from robustpeft.backbones.seam_reading import children_of, linear_heads, norms_of, parameters_among, sites_that_exist
from robustpeft.types import Residual, Seams, Site

__all__ = ["eva_seams"]


def eva_seams(network: nn.Module) -> Seams:
    """Return the seams; q, k and v are parts of one layer or layers of their own."""
    blocks = children_of(network, "blocks")
    sites = [Site("patch_embed", "patch_embed.proj")]
    past = False
    for index, block in enumerate(blocks):
        if passes_by_its_qkv(network.get_submodule(f"{block}.attn")):
            past = True
        else:
            sites += [Site(part, f"{block}.attn.qkv", index, (i, 3)) for i, part in enumerate(("q", "k", "v"))]
        sites += [Site(part, f"{block}.attn.{part}_proj", index) for part in ("q", "k", "v")]
        sites += [
            Site("proj", f"{block}.attn.proj", index),
            *(Site("fc1", f"{block}.mlp.{name}", index) for name in ("fc1", "fc1_g", "fc1_x")),
            Site("fc2", f"{block}.mlp.fc2", index),
        ]
    rotary = getattr(network, "rope", None) is not None
    return Seams(
        family="eva",
        sites=sites_that_exist(network, sites),
        heads=linear_heads(network, "head"),
        blocks=blocks,
        norms=norms_of(network),
        embeddings=parameters_among(network, "cls_token", "reg_token", "pos_embed"),
        residuals=_residuals(network, blocks),
        prefix_tokens=None if rotary else cast(Any, network).num_prefix_tokens,
        absent=PAST_THE_MODULE if past else "",
    )


def _residuals(network: nn.Module, blocks: tuple[str, ...]) -> tuple[Residual, ...]:
    residuals = []
    for path in blocks:
        block = network.get_submodule(path)
        if not any(cls.__name__ == "EvaBlock" for cls in type(block).__mro__):
            return ()  # the norms stand at the end of the branches
        attn, mlp = (
            (f"{path}.norm{i}", f"{path}.{name}") if getattr(block, f"gamma_{i}") is None else (f"{path}.drop_path{i}",)
            for i, name in ((1, "attn"), (2, "mlp"))
        )
        residuals.append(Residual(attn, mlp, cast(Any, network).embed_dim))
    return tuple(residuals)
