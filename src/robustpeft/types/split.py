"""What do training and audits need of data? Images with labels and ids in batches; nothing that knows a file format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, Self

import torch
from torch import Tensor

__all__ = ["Batch", "Split"]


class Batch(Protocol):
    """Some images of a split, on one device."""

    @property
    def images(self) -> Tensor:
        """Float (b, 3, h, w) in [0, 1]."""
        ...

    @property
    def labels(self) -> Tensor:
        """Int64 (b,)."""
        ...

    @property
    def ids(self) -> Tensor:
        """Int64 (b,), unique within the split."""
        ...


class Split(Protocol):
    """Images with labels and ids, in a fixed order."""

    @property
    def labels(self) -> Tensor:
        """Int64 (n,), on the CPU."""
        ...

    @property
    def ids(self) -> Tensor:
        """Int64 (n,), on the CPU; unique within the split."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 over ids and labels in order."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def take(self, n: int, seed: int = 0) -> Self:
        """Return a stratified subset of n images, chosen by seed, ids and labels alone; all of them if n >= len."""
        ...

    def subset(self, indices: Tensor) -> Self:
        """Return the images at these positions (int64), in this order."""
        ...

    def batches(
        self,
        batch_size: int,
        *,
        shuffle_seed: int | None = None,
        augment: Any = None,
        device: torch.device | str = "cpu",
    ) -> Iterator[Batch]:
        """Yield all images, in order or shuffled by a seed, varied by `augment` if given; the last may be smaller."""
        ...
