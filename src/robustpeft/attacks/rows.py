"""How is the state of many images kept, so that one can leave and another take its place? As rows of tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

__all__ = ["Rows", "row_where"]


@dataclass(frozen=True)
class Rows:
    """Per-image tensors: every tensor of a subclass, and of the `Rows` in it, has one row per image.

    Whatever is no tensor is shared by all images. Nothing is changed in place.
    """

    def take(self, index: Tensor) -> Self:
        """Return the rows at these places, int64 (m,)."""
        return self._map(lambda tensor, _: tensor[index])

    def put(self, index: Tensor, rows: Self) -> Self:
        """Return a copy in which the rows at these places, int64 (m,), are those of `rows`, in order."""
        return self._map(lambda tensor, new: tensor.index_copy(0, index, new.to(tensor)), rows)

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Return all tensors by dotted name."""
        found: dict[str, Tensor] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                found[prefix + field.name] = value
            elif isinstance(value, Rows):
                found |= value.tensors(f"{prefix}{field.name}.")
        return found

    def with_tensors(self, tensors: dict[str, Tensor], prefix: str = "") -> Self:
        """Return the same with other tensors, named as `tensors` names them; they may have another number of rows."""
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changes[field.name] = tensors[prefix + field.name].to(value)
            elif isinstance(value, Rows):
                changes[field.name] = value.with_tensors(tensors, f"{prefix}{field.name}.")
        return dataclasses.replace(self, **changes)

    def _map(self, function: Callable[[Tensor, Any], Tensor], other: Rows | None = None) -> Self:
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            partner = getattr(other, field.name) if other is not None else None
            if isinstance(value, Tensor):
                changes[field.name] = function(value, partner)
            elif isinstance(value, Rows):
                changes[field.name] = value._map(function, partner)
        return dataclasses.replace(self, **changes)


def row_where(mask: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    """Return per image the row of `chosen` where the mask (b,) holds, else of `other`."""
    return torch.where(mask.reshape(-1, *(1,) * (chosen.ndim - 1)), chosen, other)
