"""What did the first study's code compute under the names of the techniques? `PETROBUSTNESS` holds it as values.

Source: Ruan et al. 2024, "Understanding Robustness of Parameter-Efficient Tuning for Image Classification",
arXiv:2410.09845, and its code, github.com/JCruan519/PETRobustness at 7415a92, models/vision_transformer.py. What
differs from the textbook there:

    seq_adapter    h + W_u GELU(W_d h + b_d) + b_u, once behind each whole block, where Houlsby et al. have two, inside
                   the branches; both matrices start normal with sigma 0.02, so it is not the identity at the start
    adaptformer    with a GELU where Chen et al. have a ReLU, without dropout, and with the same start
    lora           q + A B q and v + A' B' v, one small map for all heads of a block, where Hu et al. have branches
                   beside the maps to q and v: see `PerHeadLoRA`
    prompt         shallow prompts that start uniform on +-0.5 where Jia et al. have +-sqrt(6 / (3 p^2 + d))

The sizes are its defaults (4 channels, rank 4) and what its script for training sets (200 prompts); which ones the
paper's figures have is not known. Differences: the stochastic depth of the frozen network, which that code has in
tuning for some data sets, stays off; its initial values come from another stream of random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from robustpeft.pet.adapter import Adapter
from robustpeft.pet.adaptformer import AdaptFormer
from robustpeft.pet.base import PETMethod
from robustpeft.pet.per_head_lora import PerHeadLoRA
from robustpeft.pet.vpt import VPT

__all__ = ["PETROBUSTNESS"]

PETROBUSTNESS: Mapping[str, PETMethod] = MappingProxyType(
    {
        "seq_adapter": Adapter("post", bottleneck=4, init="normal"),
        "adaptformer": AdaptFormer(bottleneck=4, scale=0.1, dropout=0.0, activation="gelu", init="normal"),
        "lora": PerHeadLoRA(r=4),
        "prompt": VPT(num_prompts=200, dropout=0.1, init="uniform"),
    }
)
"""By the code's `tuning_mode`; ``dataclasses.replace(PETROBUSTNESS["prompt"], num_prompts=50)`` has another size."""
