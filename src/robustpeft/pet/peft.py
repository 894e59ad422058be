"""A technique of the library `peft`, computed by PEFT itself: DoRA, VeRA, OFT, IA3, AdaLoRA, LoHa, LoKr and others.

Source: `peft` of Hugging Face, its own documentation and papers. Named ``peft:dora`` in recipes, with the keys of
PEFT's configuration beside it. What differs: its layers stand in the network under our names, the head is trained by
us, and a fused qkv is one layer, so a technique that acts on keys and values alone, IA3, acts on the queries too there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.base import PETMethod
from robustpeft.pet.peft_adalora import RankMover
from robustpeft.pet.peft_bridge import TYPES, PeftLayer, check_options, configured, inject
from robustpeft.types import Companion

__all__ = ["PEFT"]


@final
class Options(Mapping[str, Any]):
    """A mapping that does not change and has a hash."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = {str(key): _freeze(value) for key, value in given.items()}

    def __getitem__(self, key: str) -> Any:
        return self._given[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def __hash__(self) -> int:
        return hash(frozenset(self._given.items()))

    def __repr__(self) -> str:
        return repr(self._given)


@final
@dataclass(frozen=True)
class PEFT(PETMethod):
    """A technique of the library peft, ``peft:TYPE`` with PEFT's own keys; needs the extra ``peft``; mergeable.

    Trained parameters without the head: what PEFT adds, counted, since each type has a formula of its own. Whether it
    is the identity at the start depends on the type; with an ``init...`` among the options it is declared not to be.

    Args:
        type: ``adalora, c3a, delora, dora, fourierft, gralora, hira, hra, ia3, loha, lokr, lora, miss, oft, randlora,
            road, tinylora, vblora, vera`` or ``waveft``.
        options: Fields of PEFT's configuration, such as ``r`` and ``target_modules``. Without the latter every linear
            map of the blocks is adapted; by ia3 keys, values and fc2, as in its paper.
    """

    mergeable: ClassVar[bool] = True

    type: str
    options: Mapping[str, Any] = Options({})

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", Options(self.options))
        check_options(self.type, self.options)
        starts = TYPES[self.type] and not any(key.startswith("init") for key in self.options)
        object.__setattr__(self, "identity_at_start", starts)

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return PEFT's layers; the model is not changed."""
        modules = inject(model.network, self.type, self._options(model), seed)
        heads = model.seams.heads if model.seams else ()
        if both := sorted(modules.keys() & set(heads)):
            raise UserError(f"{self!r} adapts {both[0]}, the head, which is trained as a whole; name other layers")
        return modules

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return the number of parameters that PEFT adds.

        Cost:
            As attaching it.
        """
        there: list[nn.Module] = [m for m in model.network.modules() if isinstance(m, PeftLayer)]
        layers = there or list(self.modules(model, 0).values())
        added = {id(p): p.numel() for layer in layers for p in layer.parameters()}  # one that layers share counts once
        frozen = {id(p) for layer in layers for p in layer.parameters(recurse=False)}
        return sum(size for key, size in added.items() if key not in frozen)

    def companion(self, model: ImageClassifier) -> Companion | None:
        """Return what moves AdaLoRA's rank; None for every other type."""
        if self.type != "adalora":
            return None
        layers = [
            m.adapter for m in model.network.modules() if isinstance(m, PeftLayer) and hasattr(m.adapter, "lora_E")
        ]
        return RankMover(layers, configured(self.type, self._options(model)))

    def _options(self, model: ImageClassifier) -> dict[str, Any]:
        options = {key: _thaw(value) for key, value in self.options.items()}
        return options if "target_modules" in options else self._targets(model) | options

    def _targets(self, model: ImageClassifier) -> dict[str, Any]:
        """Return the linear maps of the blocks, by their paths."""
        sites = [site for site in model.require_seams().sites if site.block is not None]
        if self.type != "ia3":
            return {"target_modules": sorted({site.module for site in sites})}
        second = sorted({site.module for site in sites if site.component == "fc2"})
        first = {site.module for site in sites if site.component in ("k", "v")}
        return {"target_modules": sorted(first | set(second)), "feedforward_modules": second}


def _freeze(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Options(value)
    return tuple(_freeze(v) for v in value) if isinstance(value, list | tuple | set | frozenset) else value


def _thaw(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thaw(v) for key, v in value.items()}
    return [_thaw(v) for v in value] if isinstance(value, tuple) else value
