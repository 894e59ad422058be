"""Which frozen network? Its name, where its weights come from and its sizes: one value that builds it."""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robustpeft.backbones.classifier import ImageClassifier, image_size_of
from robustpeft.backbones.digits_vit import bundled_weights, digits_vit
from robustpeft.backbones.fused_bias import call_the_qkv_layers
from robustpeft.backbones.normalize import Normalize
from robustpeft.backbones.seams import find_seams
from robustpeft.backbones.weights import WeightsFile, fit_weights, read_weights
from robustpeft.errors import UserError, nearest_hint

__all__ = ["BACKBONES", "Backbone", "load_backbone"]

_log = logging.getLogger(__name__)

BACKBONES: Mapping[str, Callable[..., nn.Module]] = {"digits_vit": digits_vit}
"""Networks that ship with the package; every other name is one of timm's."""


@dataclass(frozen=True)
class Backbone:
    """A frozen network, as a value.

    Args:
        name: ``digits_vit`` or any of timm's names; what belongs to none of the `FAMILIES` can only be trained whole.
        weights: True for the published weights (bundled, or from the hub), a path to ``.safetensors``, ``.npz``,
            ``.pth`` or ``.pth.tar``, or False for random ones.
        num_classes: Width of the head; None keeps the head that the weights have.
        image_size: Height and width in pixels; None for what the weights were trained at.
        patch_size: Patch size in pixels; None for the network's own. Kernels and position embeddings are resampled.
        mean: Normalisation mean in pixel units; None for what the weights were trained with.
        std: Normalisation deviation, likewise.
        seed: Seed of what starts at random: a new head, or all of it without weights.
    """

    name: str = "digits_vit"
    weights: bool | str = True
    num_classes: int | None = None
    image_size: int | None = None
    patch_size: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_classes", "image_size", "patch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1; got {value}")

    def load(self) -> ImageClassifier:
        """Return the classifier, in eval mode.

        Raises:
            UserError: For an unknown name, weights that do not fit, or sizes the network does not take.
        """
        file, npz = self._weights_file()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = self._build(file)
        _check_sizes(self.name, network)
        call_the_qkv_layers(network)
        seams = find_seams(network)
        if file is not None:
            fit_weights(network, file.tensors, seams.heads if seams else ("head",), file.path.name)
        if npz is not None:
            _load_npz(network, npz)
        model = ImageClassifier(
            network,
            self._normalize(network, file),
            num_classes=getattr(network, "num_classes", self.num_classes),
            image_size=image_size_of(network),
            name=self.name,
            seams=seams,
        )
        model.origin = self
        return model.eval()

    def _weights_file(self) -> tuple[WeightsFile | None, Path | None]:
        """Return what is to be read from disk: a file of tensors, or timm's npz, which its own loader maps."""
        if isinstance(self.weights, bool):
            if self.weights and self.name == "digits_vit":
                return read_weights(bundled_weights()), None
            return None, None
        path = Path(self.weights).expanduser()
        if path.suffix == ".npz":
            if not path.is_file():
                raise UserError(f"no weights file at {path}")
            return None, path
        return read_weights(path), None

    def _build(self, file: WeightsFile | None) -> nn.Module:
        size = self.image_size or (file.image_size[0] if file and file.image_size else None)
        sizes = {"img_size": size, "patch_size": self.patch_size}
        options = {name: value for name, value in sizes.items() if value is not None}
        if self.num_classes is not None:
            options["num_classes"] = self.num_classes
        elif file is not None and (classes := _classes_in(file.tensors)) is not None:
            options["num_classes"] = classes
        if self.name in BACKBONES:
            return BACKBONES[self.name](**options)
        return self._build_timm(options)

    def _build_timm(self, options: dict[str, Any]) -> nn.Module:
        import timm

        base = self.name.removeprefix("hf-hub:").split(".")[0]
        if not self.name.startswith("hf-hub:") and not timm.is_model(base):
            names = [*timm.list_models("*vit*"), *timm.list_models("*deit*"), *timm.list_models("*swin*")]
            names += [*timm.list_models("*eva*"), *BACKBONES]
            hint = nearest_hint(self.name, names).split("?")[0]
            raise UserError(f"unknown backbone {self.name!r}; {hint}? See timm.list_models('*vit*'), or 'digits_vit'")
        try:
            network: nn.Module = timm.create_model(self.name, pretrained=self.weights is True, **options)
        except (AssertionError, TypeError, ValueError) as error:
            raise UserError(f"{self.name} cannot be built with {options} ({error})") from error
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"the weights of {self.name} could not be fetched ({error}); give a file as weights"
            ) from error
        if self.weights is True:
            self._say_new_head(network)
        return network

    def _say_new_head(self, network: nn.Module) -> None:
        """Say that the published weights have another head: timm leaves it out in silence."""
        said = getattr(network, "pretrained_cfg", None) or {}
        theirs = said.get("num_classes")
        if self.num_classes is not None and theirs is not None and theirs != self.num_classes:
            was = f"a head of {theirs} classes" if theirs else "no head"
            head = said.get("classifier") or "head"
            starts = f"{head} starts" if isinstance(head, str) else f"{' and '.join(head)} start"
            _log.info("%s has %s; %s anew with %d classes", self.name, was, starts, self.num_classes)

    def _normalize(self, network: nn.Module, file: WeightsFile | None) -> Normalize:
        said = getattr(network, "pretrained_cfg", None) or {}
        mean, std = said.get("mean", (0.5, 0.5, 0.5)), said.get("std", (0.5, 0.5, 0.5))
        if file is not None and file.mean and file.std:
            mean, std = file.mean, file.std
        return Normalize(self.mean or mean, self.std or std)


def load_backbone(
    name: str,
    num_classes: int | None = None,
    weights: bool | str | Path | None = True,
    image_size: int | None = None,
    patch_size: int | None = None,
    **options: Any,
) -> ImageClassifier:
    """Return a frozen pretrained network as a classifier of images in [0, 1], in eval mode.

    Args:
        name: ``digits_vit`` or any of timm's names; what belongs to none of the `FAMILIES` can only be trained whole.
        num_classes: Width of the head; None keeps the head that the weights have.
        weights: True for the published weights, a path to a file, or None for random ones.
        image_size: Height and width in pixels; None for what the weights were trained at.
        patch_size: Patch size in pixels; kernels and position embeddings are resampled.
        options: `mean`, `std`, `seed` of `Backbone`.

    Raises:
        UserError: For an unknown name, weights that do not fit, or sizes the network does not take.
    """
    given = str(weights) if isinstance(weights, str | Path) else bool(weights)
    return Backbone(name, given, num_classes, image_size, patch_size, **options).load()


def _check_sizes(name: str, network: nn.Module) -> None:
    size = image_size_of(network)
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if size and patch and (size[0] % patch[0] or size[1] % patch[1]):
        raise UserError(
            f"{name}: images of {size[0]} x {size[1]} pixels are not made of whole patches of {patch[0]} x {patch[1]}"
        )


def _classes_in(tensors: Mapping[str, Tensor]) -> int | None:
    head = tensors.get("head.weight", tensors.get("head.fc.weight"))
    return None if head is None or head.ndim != 2 else int(head.shape[0])


def _load_npz(network: nn.Module, path: Path) -> None:
    """Load the original ViT release's arrays through timm's own mapping, which resamples them where needed."""
    load = getattr(network, "load_pretrained", None)
    head = getattr(network, "head", None)
    if load is None:
        raise UserError(f"{type(network).__name__} has no loader for .npz weights; convert {path.name} to safetensors")
    before = head.weight.detach().clone() if isinstance(head, nn.Linear) else None
    try:
        with path.open("rb") as stream, np.load(stream) as arrays:
            blocks = {int(i) for name in arrays.files for i in re.findall(r"encoderblock_(\d+)/", name)}
        if len(blocks) > len(network.get_submodule("blocks")._modules):  # timm would leave the last ones out, silently
            raise ValueError(f"it has {len(blocks)} blocks")
        load(str(path))
    except (AttributeError, EOFError, KeyError, ValueError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} does not fit {type(network).__name__} ({type(error).__name__}: {error})") from error
    if isinstance(head, nn.Linear) and before is not None and torch.equal(before, head.weight):
        _log.info("%s has no head of %d classes; head starts anew", path.name, head.out_features)
