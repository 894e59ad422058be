"""What is one split? Images with their labels and ids, and an order in which they come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from robustpeft.data.augment import Augment
from robustpeft.data.image_store import ImageStore, read_ahead
from robustpeft.errors import UserError
from robustpeft.types import chosen_part

__all__ = ["Batch", "Split"]


@final
@dataclass(frozen=True, eq=False)
class Batch:
    """Some images of a split, on one device.

    Args:
        images: Float32 (b, 3, h, w) in [0, 1].
        labels: Int64 (b,).
        ids: Int64 (b,).
    """

    images: Tensor
    labels: Tensor
    ids: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@final
@dataclass(frozen=True, eq=False)
class Split:
    """Images, labels and ids of one split; subsets share the pixels.

    Args:
        store: Where the pixels lie.
        rows: Int64 (n,): the rows of the store that belong to this split, in order.
        labels: Int64 (n,).
        ids: Int64 (n,): unique within the split, and the same for the same image in every subset.

    Raises:
        ValueError: If their lengths differ.
    """

    store: ImageStore
    rows: Tensor
    labels: Tensor
    ids: Tensor

    def __post_init__(self) -> None:
        if not len(self.rows) == len(self.labels) == len(self.ids):
            raise ValueError(f"{len(self.rows)} rows, {len(self.labels)} labels and {len(self.ids)} ids")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Tensor:
        """Return image `index` as uint8 (3, h, w)."""
        return self.store.read(self.rows[index].reshape(1))[0]

    def name(self, index: int) -> str:
        """Return what a person calls image `index`: a path, or a number."""
        return self.store.name(int(self.rows[index]))

    @property
    def digest(self) -> str:
        """SHA-256 over ids and labels in order (int64, little endian)."""
        values = torch.cat([self.ids, self.labels]).numpy().astype("<i8")
        return hashlib.sha256(values.tobytes()).hexdigest()

    def subset(self, indices: Tensor) -> Split:
        """Return the images at these positions (int64), in this order."""
        return Split(self.store, self.rows[indices], self.labels[indices], self.ids[indices])

    def take(self, n: int, seed: int = 0) -> Split:
        """Return n images whose classes have the same shares as here, up to rounding; all of them if n >= len.

        The choice depends on seed, ids and labels alone, and is nested: ``take(50)`` is part of ``take(100)``.

        Raises:
            UserError: If n is below 1.
        """
        if n < 1:
            raise UserError(f"cannot take {n} images; the least is 1")
        if n >= len(self):
            return self
        return self.subset(chosen_part(self.labels, self.ids, n, seed))

    def batches(
        self,
        batch_size: int,
        *,
        shuffle_seed: int | None = None,
        augment: Augment | None = None,
        start: int = 0,
        device: torch.device | str = "cpu",
    ) -> Iterator[Batch]:
        """Yield every image once, the last batch being smaller if need be.

        Args:
            batch_size: Images a batch, at least 1.
            shuffle_seed: Seed of the order and of the augmentation; give another one each epoch. None keeps the order.
            augment: Variation of the images; none if None.
            start: Batches to leave out at the beginning, undecoded, to go on where a run stopped.
            device: Where the batches lie.

        Raises:
            UserError: If the batch size is below 1, or an image that is decoded on demand cannot be read.
        """
        if batch_size < 1:
            raise UserError(f"batch_size must be at least 1; got {batch_size}")
        return self._batches(
            torch.split(self._order(shuffle_seed), batch_size)[start:], shuffle_seed or 0, augment, device
        )

    def _order(self, shuffle_seed: int | None) -> Tensor:
        if shuffle_seed is None or not len(self):
            return torch.arange(len(self))
        return torch.randperm(len(self), generator=torch.Generator().manual_seed(shuffle_seed))

    def _batches(
        self, parts: tuple[Tensor, ...], seed: int, augment: Augment | None, device: torch.device | str
    ) -> Iterator[Batch]:
        stored = read_ahead(self.store, (self.rows[part] for part in parts if len(part)))
        for part, pixels in zip((part for part in parts if len(part)), stored, strict=True):
            ids = self.ids[part].to(device)
            images = pixels.to(device).float() / 255.0
            if augment is not None:
                images = augment(images, seed=seed, ids=ids)
            yield Batch(images, self.labels[part].to(device), ids)
