"""Is it a run of robustpeft's? Then its files say all that has to be known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from robustpeft.pet import sidecar
from robustpeft.study.run_directory import SIDECAR_FILE, load
from robustpeft.study.targets.base import Loaded, Target
from robustpeft.study.targets.facts import Facts

__all__ = ["RunTarget"]


@final
@dataclass(frozen=True)
class RunTarget(Target):
    """A directory that `tune` wrote."""

    looks_like = "a directory of robustpeft tune"
    takes = frozenset({"weights", "trust", "claimed_clean"})

    @classmethod
    def claims(cls, words: str, facts: Facts) -> bool:
        """Return whether more is said than which backbone an adapter belongs to, or tuning there was begun."""
        file = Path(words) / SIDECAR_FILE
        if file.is_file():
            said = sidecar.read_sidecar(file)
            return "backbone_name" not in said or not {"backbone", "threat", "tuning"}.isdisjoint(said)
        return (Path(words) / "checkpoints").is_dir()

    def load(self, facts: Facts) -> Loaded:
        """Return the tuned model."""
        return Loaded(load(self.words, weights=facts.weights, trust=facts.trust), settled=True)
