"""Is it an ONNX file? It answers and gives no gradients: what it withstands is known by queries alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from robustpeft.backbones import ImageClassifier, OnnxNetwork
from robustpeft.errors import UserError
from robustpeft.study.targets.base import STRANGERS, Loaded, Target
from robustpeft.study.targets.facts import Facts
from robustpeft.study.targets.normalizations import NORMALIZATIONS

__all__ = ["OnnxTarget"]


@final
@dataclass(frozen=True)
class OnnxTarget(Target):
    """A file of one input (batch, 3, height, width) and one output (batch, classes)."""

    looks_like = "a file ending in .onnx (attacks by queries only)"
    takes = STRANGERS

    @classmethod
    def claims(cls, words: str, facts: Facts) -> bool:
        """Return whether the name ends so."""
        return words.endswith(".onnx")

    def load(self, facts: Facts) -> Loaded:
        """Return the file as a classifier."""
        network = OnnxNetwork(Path(self.words).expanduser())
        size = network.image_size
        if size is not None and facts.image_size not in (None, *size):
            raise UserError(
                f"{self.words} takes images of {size[0]} x {size[1]} pixels; got image_size {facts.image_size}"
            )
        model = ImageClassifier(
            network,
            NORMALIZATIONS["none"].module(),
            num_classes=network.num_classes,
            image_size=size,
            name=Path(self.words).stem,
        )
        return Loaded(model.eval())
