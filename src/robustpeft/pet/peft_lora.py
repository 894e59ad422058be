"""LoRA as PEFT has it: one branch per layer, also on a fused qkv, where q, k and v share A.

    y = W x + b + s B A x,    s = alpha / r, or alpha / sqrt(r) with rslora

Source: Hu et al. 2022, arXiv:2106.09685, Section 4; Kalajdzievski 2023, arXiv:2312.03732, for the square root. The
hyper-parameters and the rules by which layers are matched are those of ``LoraConfig`` in the library `peft`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar, final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.base import PETMethod
from robustpeft.pet.placement import BranchSettings, check_rank, count_low_rank, place_low_rank
from robustpeft.types import Site

__all__ = ["PeftLoRA"]

_COMPONENT = "joint"
T = TypeVar("T")


@final
@dataclass(frozen=True)
class PeftLoRA(PETMethod):
    """A low-rank branch A (r, in), B (out, r) beside each matching layer; mergeable. What PEFT saved becomes this.

    `LoRA` has branches of their own for q, k and v; use that to tune anew, and this for adapters that come from PEFT.

    Trained parameters without the head: ``sum over layers of r (in + out)``.

    Args:
        r: Rank, at least 1 and at most the smaller side of each layer.
        alpha: Numerator of the scaling (PEFT's ``lora_alpha``).
        target_modules: Dotted paths of linear layers and patch embeddings, or their ends, such as ``attn.proj``.
        dropout: Probability of dropping an input of the branch, in training only.
        rslora: Divide alpha by sqrt(r) instead of r.
        rank_pattern: Pairs (regular expression, r) for layers of another rank; the first that fits the end of a path.
        alpha_pattern: Pairs (regular expression, alpha), likewise.
    """

    mergeable: ClassVar[bool] = True

    r: int = 8
    alpha: float = 8.0
    target_modules: tuple[str, ...] = ("qkv",)
    dropout: float = 0.0
    rslora: bool = False
    rank_pattern: tuple[tuple[str, int], ...] = ()
    alpha_pattern: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        for _, rank in (("", self.r), *self.rank_pattern):
            for _, alpha in (("", self.alpha), *self.alpha_pattern):
                check_rank(rank, alpha, self.dropout)
        for pattern, _ in (*self.rank_pattern, *self.alpha_pattern):
            try:
                re.compile(pattern)
            except re.error as error:
                raise UserError(f"{pattern!r} is not a regular expression ({error})") from error

    def rank_of(self, path: str) -> int:
        """Return the rank at a layer."""
        return _first(self.rank_pattern, path, self.r)

    def scaling_of(self, path: str) -> float:
        """Return alpha / r, or alpha / sqrt(r), at a layer."""
        return self._settings(path).scaling(self.rank_of(path))

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return the branches; the model is not changed."""
        modules: dict[str, nn.Module] = {}
        for path in self._paths(model):
            if not isinstance(layer := model.network.get_submodule(path), nn.Linear | nn.Conv2d):
                raise UserError(f"{path} is a {type(layer).__name__}; PeftLoRA goes beside Linear and patch embeddings")
            ranks = {Site(_COMPONENT, path): self.rank_of(path)}
            modules |= place_low_rank(model, ranks, self._settings(path), seed)
        return modules

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return r (in + out), summed over the layers."""
        return count_low_rank(model, {Site(_COMPONENT, path): self.rank_of(path) for path in self._paths(model)})

    def _settings(self, path: str) -> BranchSettings:
        return BranchSettings(_first(self.alpha_pattern, path, self.alpha), self.rslora, self.dropout)

    def _paths(self, model: ImageClassifier) -> list[str]:
        """Return the layers that a target matches, but for the heads: these are trained as a whole."""
        heads = model.seams.heads if model.seams else ()
        layers = [path for path, _ in model.network.named_modules() if path and path not in heads]
        found: set[str] = set()
        for target in self.target_modules:
            here = {path for path in layers if path == target or path.endswith(f".{target}")}
            if not here:
                raise UserError(f"no layer of {model.name} is called {target!r} or ends with '.{target}'")
            found |= here
        return [path for path in layers if path in found]


def _first(patterns: Sequence[tuple[str, T]], path: str, default: T) -> T:
    """Return what stands with the first pattern that matches all of the path, or all behind one of its dots."""
    return next((value for pattern, value in patterns if re.match(rf"(.*\.)?({pattern})$", path)), default)
