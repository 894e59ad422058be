"""How are several runs loaded whose backbone is the same? It is read once, and they share its weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, final

from robustpeft.backbones import ImageClassifier
from robustpeft.pet import share
from robustpeft.study.run_directory import backbone_of, load, read_backbone, read_sidecar
from robustpeft.study.targets import Facts, Loaded, Target, load_target, placed
from robustpeft.study.targets.run import RunTarget
from robustpeft.types import imports_allowed

__all__ = ["BackbonesInUse"]


@final
class BackbonesInUse:
    """Backbones that were read, each with the weights that the models on it share.

    Two runs have one backbone if the same value builds it (name, image size, normalisation, width of a new head) from a
    file of the same content. Whether it is the one a run was tuned on is checked by its digest for each of them.

    Args:
        facts: Where weights lie, and whether code of others may be imported.
        device: Where the models go.
    """

    def __init__(self, facts: Facts, device: str) -> None:
        self._facts, self._device = facts, device
        self._bare: dict[tuple[Any, ...], ImageClassifier] = {}

    @property
    def count(self) -> int:
        """How many were read."""
        return len(self._bare)

    def load(self, target: Target) -> Loaded:
        """Return the model that a target names, as `load_target` does.

        Raises:
            UserError: As `load_target`.
        """
        if not isinstance(target, RunTarget):
            return load_target(target.words, self._facts, self._device)
        loaded = Loaded(self.run(Path(target.words)), settled=True)
        return placed(loaded, target.words, self._facts, self._device)

    def run(self, directory: Path) -> ImageClassifier:
        """Return the tuned classifier of a run, over weights that it shares with others of its backbone.

        Raises:
            UserError: As `robustpeft.study.load`.
        """
        weights, trust = self._facts.weights, self._facts.trust
        said = read_sidecar(directory)
        with imports_allowed(trust):
            backbone = backbone_of(directory, said, weights)
        key = (_without_path(backbone), _content(backbone.weights))
        if key not in self._bare:
            self._bare[key] = read_backbone(backbone).to(self._device).eval()
        return load(directory, weights=weights, model=share(self._bare[key]), device=self._device, trust=trust)


def _without_path(backbone: Any) -> tuple[Any, ...]:
    return tuple(value for name, value in sorted(vars(backbone).items()) if name != "weights")


def _content(weights: bool | str) -> bool | str:
    """Return the digest of a file of weights; whether they are published or random otherwise."""
    path = None if isinstance(weights, bool) else Path(weights).expanduser()
    if path is None or not path.is_file():
        return weights
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
