"""What is trained in the frozen network's stead? One file per technique."""

from collections.abc import Mapping

from robustpeft.pet.adapter import Adapter
from robustpeft.pet.adapter_plus import AdapterPlus
from robustpeft.pet.adaptformer import AdaptFormer
from robustpeft.pet.bank import AdapterBank
from robustpeft.pet.base import PETMethod
from robustpeft.pet.bitfit import BitFit
from robustpeft.pet.combined import Combined
from robustpeft.pet.compatibility import PETROBUSTNESS
from robustpeft.pet.files import load_adapter, save_adapter
from robustpeft.pet.full import Full
from robustpeft.pet.fulllora import FullLoRA
from robustpeft.pet.handle import AdapterHandle
from robustpeft.pet.last_blocks import LastBlocks
from robustpeft.pet.layer_norm_tuning import LayerNormTuning
from robustpeft.pet.linear_probe import LinearProbe
from robustpeft.pet.lnlora import LNLoRA
from robustpeft.pet.lora import LoRA
from robustpeft.pet.norms_and_biases import NormsAndBiases
from robustpeft.pet.peft import PEFT
from robustpeft.pet.peft_lora import PeftLoRA
from robustpeft.pet.per_head_lora import PerHeadLoRA
from robustpeft.pet.rank_map import rank_map
from robustpeft.pet.rank_rules import RankRule
from robustpeft.pet.sharing import share
from robustpeft.pet.ssf import SSF
from robustpeft.pet.vpt import VPT
from robustpeft.types import Axis

__all__ = [
    "METHODS",
    "METHOD_AXIS",
    "PEFT",
    "PETROBUSTNESS",
    "SSF",
    "VPT",
    "AdaptFormer",
    "Adapter",
    "AdapterBank",
    "AdapterHandle",
    "AdapterPlus",
    "BitFit",
    "Combined",
    "Full",
    "FullLoRA",
    "LNLoRA",
    "LastBlocks",
    "LayerNormTuning",
    "LinearProbe",
    "LoRA",
    "NormsAndBiases",
    "PETMethod",
    "PeftLoRA",
    "PerHeadLoRA",
    "RankRule",
    "load_adapter",
    "rank_map",
    "save_adapter",
    "share",
]

METHODS: Mapping[str, type[PETMethod]] = {
    "adapter": Adapter,
    "adapter_plus": AdapterPlus,
    "adaptformer": AdaptFormer,
    "bitfit": BitFit,
    "combined": Combined,
    "full": Full,
    "fulllora": FullLoRA,
    "last_blocks": LastBlocks,
    "layer_norm_tuning": LayerNormTuning,
    "linear_probe": LinearProbe,
    "lnlora": LNLoRA,
    "lora": LoRA,
    "norms_and_biases": NormsAndBiases,
    "peft": PEFT,
    "peft_lora": PeftLoRA,
    "per_head_lora": PerHeadLoRA,
    "ssf": SSF,
    "vpt": VPT,
}

METHOD_AXIS = Axis(PETMethod, METHODS, "method")
