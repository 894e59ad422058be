"""Is it an adapter without a run around it? Ours, or a LoRA of PEFT's; the backbone comes from elsewhere."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet import load_adapter, sidecar
from robustpeft.pet.files import CONFIG_FILE, saved_classes
from robustpeft.pet.sidecar import SIDECAR_FILE
from robustpeft.study.targets.base import STRANGERS, Loaded, Target
from robustpeft.study.targets.facts import Facts
from robustpeft.study.targets.normalizations import named
from robustpeft.study.targets.timm_name import TimmTarget
from robustpeft.study.targets.transformers_folder import TransformersTarget

__all__ = ["AdapterTarget"]


@final
@dataclass(frozen=True)
class AdapterTarget(Target):
    """A folder with ``adapter_config.json`` and ``adapter_model.safetensors``.

    What robustpeft saved names its backbone in ``robustpeft.json``; of PEFT's one has to say it: ``--architecture`` and
    ``--weights`` with a file, or ``--weights`` with a folder of transformers.
    """

    looks_like = "a folder with adapter_config.json (robustpeft's or PEFT's LoRA)"
    takes = (STRANGERS - {"crop"}) | {"weights", "architecture"}

    @classmethod
    def claims(cls, words: str, facts: Facts) -> bool:
        """Return whether there is an adapter's configuration."""
        return (Path(words) / CONFIG_FILE).is_file()

    def load(self, facts: Facts) -> Loaded:
        """Return the backbone with the adapter attached."""
        directory = Path(self.words)
        said = sidecar.read_sidecar(directory / SIDECAR_FILE) if (directory / SIDECAR_FILE).is_file() else {}
        base = self._backbone(directory, facts, said)
        width, names = saved_classes(base.model, directory)
        if width is not None and width != base.model.num_classes:
            base = self._backbone(directory, facts, said, width)
        load_adapter(base.model, directory, trust=facts.trust).train(False)
        base.model.classes = tuple(names)
        if said.get("classes") and not facts.classes and not facts.normalization:
            return dataclasses.replace(base, settled=True)
        return base if facts.classes or not names else dataclasses.replace(base, outputs=names, outputs_by=SIDECAR_FILE)

    def _backbone(self, directory: Path, facts: Facts, said: dict[str, Any], width: int | None = None) -> Loaded:
        """Return the network that the adapter belongs to, its head as wide as the adapter's."""
        if facts.weights is not None and TransformersTarget.claims(facts.weights, facts):
            loaded = TransformersTarget(facts.weights).load(dataclasses.replace(facts, weights=None))
            _check_width(loaded.model, width, directory)
            return loaded
        name = facts.architecture or said.get("backbone_name") or _base_of(directory)
        size = facts.image_size or (said["image_size"][0] if said.get("image_size") else None)
        loaded = TimmTarget(name).load(dataclasses.replace(facts, architecture=None, image_size=size), width)
        if said.get("mean") and not facts.normalization:
            stated = named(said["mean"], said["std"])
            loaded.model.normalize = stated.module()
            return dataclasses.replace(loaded, normalization=stated, normalization_by=SIDECAR_FILE)
        return loaded


def _base_of(directory: Path) -> str:
    try:
        said = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise UserError(f"{directory / CONFIG_FILE} is damaged ({type(error).__name__}: {error})") from error
    named_there = f" (it names {said!r})" if said else ""
    raise UserError(
        f"{directory} does not say which network it belongs to in a way that can be built{named_there}; say it: "
        "--architecture with a name of timm's and --weights with its file, or --weights with a folder of transformers"
    )


def _check_width(model: ImageClassifier, width: int | None, directory: Path) -> None:
    if width is not None and model.num_classes != width:
        raise UserError(f"the adapter in {directory} has a head of {width} classes, its backbone {model.num_classes}")
