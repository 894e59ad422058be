"""Several techniques as one: ``LNLoRA(r=8) + NormsAndBiases()``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.base import PETMethod
from robustpeft.pet.in_place import count_named
from robustpeft.pet.inserts import Insert
from robustpeft.types import Companion

__all__ = ["Combined"]


@final
@dataclass(frozen=True)
class Combined(PETMethod):
    """All of several techniques; each parameter is trained once.

    It is the identity at the start, and mergeable, if all of them are. Trained parameters without the head: those of
    the parts, each once.

    Args:
        methods: At least two; no two of them may wrap the same layer.
    """

    methods: tuple[PETMethod, ...] = ()

    def __post_init__(self) -> None:
        flat = [part for m in self.methods for part in (m.methods if isinstance(m, Combined) else (m,))]
        if len(flat) < 2:
            raise UserError(f"a combination needs at least two methods; got {len(flat)}")
        object.__setattr__(self, "methods", tuple(flat))
        object.__setattr__(self, "identity_at_start", all(method.identity_at_start for method in flat))
        object.__setattr__(self, "mergeable", all(method.mergeable for method in flat))

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return the modules of all parts.

        Raises:
            UserError: If two of them want to stand for the same leaf.
        """
        modules: dict[str, nn.Module] = {}
        for method in self.methods:
            part = method.modules(model, seed)
            if both := modules.keys() & part.keys():
                raise UserError(
                    f"{method!r} and an earlier part both adapt {min(both)}; give each its own layers, or leave one out"
                )
            modules |= part
        return modules

    def inserts(self, model: ImageClassifier, seed: int) -> list[Insert]:
        """Return the inserts of all parts.

        Raises:
            UserError: If two of them want to stand at the same place.
        """
        inserts: dict[tuple[str, str], Insert] = {}
        for method in self.methods:
            part = {(insert.host, insert.name): insert for insert in method.inserts(model, seed)}
            if both := inserts.keys() & part.keys():
                raise UserError(f"{method!r} and an earlier part both stand at {min(both)[0]}; leave one of them out")
            inserts |= part
        return list(inserts.values())

    def companion(self, model: ImageClassifier) -> Companion | None:
        """Return the only one among the parts' companions.

        Raises:
            UserError: If there are two, each of which would act on the other's layers.
        """
        found = [companion for method in self.methods if (companion := method.companion(model)) is not None]
        if len(found) > 1:
            raise UserError(f"{len(found)} parts of {self!r} train by rules of their own; leave all but one out")
        return found[0] if found else None

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return the names that any part trains."""
        return set[str]().union(*(method.thawed(model) for method in self.methods))

    def count(self, model: ImageClassifier) -> int:
        """Return the size of the union: the added parameters, and each thawed one once."""
        added = sum(method.count(model) - count_named(model, method.thawed(model)) for method in self.methods)
        return added + count_named(model, self.thawed(model))
