"""Where are the seams of the ViT of Hugging Face `transformers`?

Version 5 names its layers ``vit.layers.N`` with ``attention.q_proj`` and ``mlp.fc1``; version 4 named them
``vit.encoder.layer.N`` with ``attention.attention.query`` and ``intermediate.dense``, and there the stream is added
inside the last layer of the MLP, so that nothing can be put behind or beside a branch.
"""

from __future__ import annotations

from torch import nn

from robustpeft.backbones.seam_reading import (
    children_of,
    linear_heads,
    norms_of,
    parameters_among,
    sites_that_exist,
)
from robustpeft.types import Residual, Seams, Site

__all__ = ["hf_vit_seams"]

_NAMES = {  # component: in version 5, in version 4
    "q": ("attention.q_proj", "attention.attention.query"),
    "k": ("attention.k_proj", "attention.attention.key"),
    "v": ("attention.v_proj", "attention.attention.value"),
    "proj": ("attention.o_proj", "attention.output.dense"),
    "fc1": ("mlp.fc1", "intermediate.dense"),
    "fc2": ("mlp.fc2", "output.dense"),
}


def hf_vit_seams(network: nn.Module) -> Seams:
    """Return the seams of a `ViTForImageClassification`."""
    modern = any(name == "vit.layers" for name, _ in network.named_modules())
    blocks = children_of(network, "vit.layers" if modern else "vit.encoder.layer")
    sites = [Site("patch_embed", "vit.embeddings.patch_embeddings.projection")]
    for index, block in enumerate(blocks):
        sites += [Site(part, f"{block}.{names[0 if modern else 1]}", index) for part, names in _NAMES.items()]
    embeddings = ("vit.embeddings.cls_token", "vit.embeddings.position_embeddings")
    return Seams(
        family="hf_vit",
        sites=sites_that_exist(network, sites),
        heads=linear_heads(network, "classifier"),
        blocks=blocks,
        norms=norms_of(network),
        embeddings=parameters_among(network, *embeddings),
        residuals=tuple(_residual(network, block) for block in blocks) if modern else (),
        prefix_tokens=1 if modern else None,
    )


def _residual(network: nn.Module, block: str) -> Residual:
    width = network.get_submodule(f"{block}.mlp.fc1").in_features
    assert isinstance(width, int)
    return Residual(
        (f"{block}.layernorm_before", f"{block}.attention"), (f"{block}.layernorm_after", f"{block}.mlp"), width
    )
