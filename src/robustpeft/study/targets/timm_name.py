"""Is it a network of timm's by name? With a file of weights, of which nothing may be missing and nothing left over."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from safetensors import SafetensorError, safe_open
from torch import Tensor

from robustpeft.backbones import BACKBONES, Backbone, ImageClassifier
from robustpeft.errors import UserError
from robustpeft.study.targets.base import STRANGERS, Loaded, Target
from robustpeft.study.targets.checkpoint import checkpoint, fill
from robustpeft.study.targets.facts import Facts
from robustpeft.study.targets.normalizations import Normalization, named

__all__ = ["TimmTarget"]

_PREFIX = "timm:"
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".ckpt")


@final
@dataclass(frozen=True)
class TimmTarget(Target):
    """``vit_tiny_patch16_224``, ``timm:NAME``, or a file of weights with ``--architecture NAME``.

    Without ``--weights`` the published ones are taken. A file that `export` wrote says its architecture itself.
    """

    looks_like = "a name of timm's or timm:NAME with --weights FILE, or a file of weights with --architecture NAME"
    takes = STRANGERS | {"weights", "architecture"}

    @classmethod
    def claims(cls, words: str, facts: Facts) -> bool:
        """Return whether it says ``timm:``, is a name that timm knows, or is a file of weights."""
        if words.startswith(_PREFIX) or words in BACKBONES:
            return True
        if words.endswith(_SUFFIXES) and "\n" not in words:
            return True
        import timm

        return "/" not in words and bool(timm.is_model(words.split(".", maxsplit=1)[0]))

    def load(self, facts: Facts, width: int | None = None) -> Loaded:
        """Return the network with its weights.

        Args:
            facts: What is known of it.
            width: Give it a head of so many classes, which starts anew; None for that of the weights, whole.
        """
        name, weights = self.words.removeprefix(_PREFIX), facts.weights
        if name.endswith(_SUFFIXES) and name not in BACKBONES:
            if weights is not None:
                raise UserError(f"{name} is a file of weights already; --weights {weights} would be another")
            name, weights = facts.architecture or _architecture_in(Path(name)), name
        elif facts.architecture not in (None, name):
            raise UserError(f"the target says {name}, --architecture {facts.architecture}: which one is it?")
        if width is not None or weights is None:
            given: bool | str = True if weights is None else weights
            model = _built(Backbone(name, given, num_classes=width), facts.image_size)
            return Loaded(model, normalization=_of(model), normalization_by=f"timm for {name}")
        return _whole(name, weights, facts)


def _whole(name: str, weights: str, facts: Facts) -> Loaded:
    file, tensors, remarks = checkpoint(weights)
    size = facts.image_size or (file.image_size[0] if file.image_size else None)
    empty = _built(Backbone(name, False, num_classes=_width(name, tensors, file.path)), size)
    fill(empty.network, tensors, file.path.name)
    told = _told(file.path)
    stated, by = _of(empty), f"timm for {name}"
    if file.mean and file.std:
        stated, by = named(file.mean, file.std), f"the arguments kept in {file.path.name}"
    elif "mean" in told and "std" in told:
        stated, by = named(told["mean"], told["std"]), f"the metadata of {file.path.name}"
    outputs = tuple(map(str, told.get("classes") or ()))
    return Loaded(empty, False, stated, by, outputs, f"the metadata of {file.path.name}" if outputs else "", remarks)


def _built(backbone: Backbone, size: int | None) -> ImageClassifier:
    """Return the network at this size; one that takes any size, at the one it is published for unless said."""
    model = backbone.load()
    if model.image_size is not None:
        fits = size is None or model.image_size == (size, size)
        return model if fits else dataclasses.replace(backbone, image_size=size).load()
    published = (getattr(model.network, "pretrained_cfg", None) or {}).get("input_size")
    model.image_size = (size, size) if size is not None else tuple(published[1:]) if published else None
    return model


def _width(name: str, tensors: dict[str, Tensor], path: Path) -> int:
    """Return how many classes the head in a file has.

    Raises:
        UserError: If there is no head: a new one would answer at random.
    """
    import timm

    known = name not in BACKBONES and timm.is_model(name.split(".", maxsplit=1)[0])
    config = timm.get_pretrained_cfg(name) if known else None
    said = getattr(config, "classifier", None) or "head"
    heads = dict.fromkeys([*([said] if isinstance(said, str) else said), "head", "head.fc", "fc", "classifier"])
    for head in heads:
        weight = tensors.get(f"{head}.weight")
        if weight is not None and weight.ndim in (2, 4):
            return int(weight.shape[0])
    Backbone(name, False).load()  # an unknown name is the better reason
    raise UserError(
        f"{path} has no head (looked for {', '.join(f'{head}.weight' for head in heads)}): a new one would answer at "
        "random; tune it first, or give the weights of the whole classifier"
    )


def _architecture_in(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"no weights file at {path}")
    name = _told(path).get("backbone")
    if not isinstance(name, str):
        raise UserError(f"{path} is a file of weights; say of which network: --architecture with a name of timm's")
    return name


def _told(path: Path) -> dict[str, Any]:
    """Return what the metadata of a safetensors file say; `export` writes them as JSON."""
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except SafetensorError:
        return {}  # reading the weights says why
    told: dict[str, Any] = {}
    for key, text in metadata.items():
        try:
            told[key] = json.loads(text)
        except json.JSONDecodeError:
            told[key] = text
    return told


def _of(model: Any) -> Normalization:
    return named(model.normalize.mean.flatten().tolist(), model.normalize.std.flatten().tolist())
