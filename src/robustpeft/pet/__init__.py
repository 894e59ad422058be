"""What is trained in the frozen network's stead? One file per technique."""

from collections.abc import Mapping

from robustpeft.pet.adapter import Adapter
from robustpeft.pet.adaptformer import AdaptFormer
from robustpeft.pet.base import PETMethod
from robustpeft.pet.combined import Combined
from robustpeft.pet.files import load_adapter, save_adapter
from robustpeft.pet.full import Full
from robustpeft.pet.fulllora import FullLoRA
from robustpeft.pet.handle import AdapterHandle
from robustpeft.pet.linear_probe import LinearProbe
from robustpeft.pet.lnlora import LNLoRA
from robustpeft.pet.lora import LoRA
from robustpeft.pet.norms_and_biases import NormsAndBiases
from robustpeft.pet.vpt import VPT
from robustpeft.types import Axis

__all__ = [
    "METHODS",
    "METHOD_AXIS",
    "VPT",
    "AdaptFormer",
    "Adapter",
    "AdapterHandle",
    "Combined",
    "Full",
    "FullLoRA",
    "LNLoRA",
    "LinearProbe",
    "LoRA",
    "NormsAndBiases",
    "PETMethod",
    "load_adapter",
    "save_adapter",
]

METHODS: Mapping[str, type[PETMethod]] = {
    "adapter": Adapter,
    "adaptformer": AdaptFormer,
    "combined": Combined,
    "full": Full,
    "fulllora": FullLoRA,
    "linear_probe": LinearProbe,
    "lnlora": LNLoRA,
    "lora": LoRA,
    "norms_and_biases": NormsAndBiases,
    "vpt": VPT,
}

METHOD_AXIS = Axis(PETMethod, METHODS, "method")
