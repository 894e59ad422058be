"""Which network is to be made robust? The one of a checkpoint, or one that suits the hardware; and is it at hand?"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from robustpeft.backbones import Backbone
from robustpeft.backbones.weights import read_weights
from robustpeft.errors import UserError
from robustpeft.pet import FullLoRA
from robustpeft.study.axes import AXES
from robustpeft.study.run_directory import SIDECAR_FILE, read_sidecar
from robustpeft.types import from_plain

__all__ = ["Network", "choose_network", "seconds_a_pass", "weights_at_hand"]

_BY_WIDTH = {192: "vit_tiny", 384: "vit_small", 768: "vit_base", 1024: "vit_large"}
_ROOMY = 10 * 2**30  # bytes of a GPU on which a ViT-B is tuned without splitting batches
_TIMED = {"cpu": 4, "mps": 16, "cuda": 64}  # images in a timed pass


@dataclass(frozen=True)
class Network:
    """What is frozen.

    Args:
        backbone: The network.
        start: Directory of the run whose tuned weights it starts from; None for its own.
        reason: Why this one.
    """

    backbone: Backbone
    reason: str
    start: str | None = None


def choose_network(hardware: str, checkpoint: str | None, name: str | None) -> Network:
    """Return the network.

    Args:
        hardware: ``cpu``, ``mps`` or ``cuda``.
        checkpoint: A weights file or the directory of a run; None if there is none.
        name: What the person calls the network; None to find out.

    Raises:
        UserError: If a checkpoint does not tell what it is of and nobody said it, or cannot be read.
    """
    if checkpoint is None:
        chosen, why = _by_hardware(hardware)
        if name is not None:
            chosen, why = name, "as you said"
            with torch.device("meta"):  # no numbers, no download: does it exist at all?
                Backbone(chosen, weights=False, image_size=224).load()
        return Network(Backbone(chosen, image_size=224), why)
    path = Path(checkpoint)
    if path.is_dir():
        said = read_sidecar(path)["backbone"]
        if said is None:
            raise UserError(f"{path / SIDECAR_FILE} does not say how to build its network; give the weights as a file")
        network: Backbone = from_plain(Backbone, said, AXES, "backbone")
        return Network(dataclasses.replace(network, num_classes=None), "that of your run", start=str(path.resolve()))
    found = name or _recognised(path)
    why = "as you said" if name else "by the shapes in your checkpoint"
    return Network(Backbone(found, weights=str(path.resolve()), image_size=224), why)


def _by_hardware(hardware: str) -> tuple[str, str]:
    if hardware == "cpu":
        return "vit_tiny_patch16_224", "the smallest ViT: on a CPU every larger one takes hours"
    if hardware == "mps":
        return "vit_small_patch16_224", "a small ViT, for a laptop's GPU"
    if torch.cuda.is_available() and torch.cuda.get_device_properties(0).total_memory < _ROOMY:
        return "vit_small_patch16_224", "a small ViT: the GPU has less than 10 GB"
    return "vit_base_patch16_224", "the usual size on a GPU of 10 GB and more; vit_small_patch16_224 takes less"


def _recognised(path: Path) -> str:
    """Return timm's name of the plain ViT whose shapes a file has."""
    if path.suffix == ".npz":
        raise UserError(f"{path.name} does not tell which network it is of; say it with --backbone")
    tensors = read_weights(path).tensors
    patches, position = tensors.get("patch_embed.proj.weight"), tensors.get("pos_embed")
    if patches is None or patches.ndim != 4 or patches.shape[0] not in _BY_WIDTH or position is None:
        raise UserError(
            f"{path.name} is not of a plain ViT that is recognised by its shapes; say which network it is of with "
            "--backbone"
        )
    return f"{_BY_WIDTH[patches.shape[0]]}_patch{patches.shape[-1]}_224"


def weights_at_hand(backbone: Backbone) -> Backbone | None:
    """Return the backbone with weights that lie on this machine, None if they would have to be downloaded."""
    if isinstance(backbone.weights, str):
        return backbone
    if backbone.name == "digits_vit":
        return None  # of 16 pixels: it says nothing about photographs
    import timm
    from huggingface_hub import try_to_load_from_cache

    known = timm.is_model(backbone.name.split(".")[0])
    config = timm.models.get_pretrained_cfg(backbone.name, allow_unregistered=False) if known else None
    repository = getattr(config, "hf_hub_id", None)
    if config is None or not repository:
        return None
    for file in ("model.safetensors", "pytorch_model.bin"):
        path = try_to_load_from_cache(repository, file)
        if isinstance(path, str) and Path(path).is_file():
            (r, g, b), (dr, dg, db) = config.mean, config.std
            return dataclasses.replace(backbone, weights=path, mean=(r, g, b), std=(dr, dg, db))
    return None


def seconds_a_pass(backbone: Backbone, device: str) -> float:
    """Return how long a forward and a backward of one image take with FullLoRA attached, of weights at random.

    Cost:
        2 forwards and backwards of a small batch.
    """
    drawn = dataclasses.replace(backbone, weights=False, num_classes=10).load()
    FullLoRA().attach(drawn)
    model = drawn.to(device)
    images = torch.full((_TIMED[device], 3, *(drawn.image_size or (224, 224))), 0.5, device=device, requires_grad=True)
    for turn in range(2):  # the first warms up
        start = time.perf_counter()
        model(images).sum().backward()
        float(images.grad.sum()) if images.grad is not None else 0.0  # waits for the device
        if turn:
            return (time.perf_counter() - start) / len(images)
    raise AssertionError("the second turn returns")
