"""How much of a picture is left? Its centre, where a model was judged on that by its author."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import final

from torch import Tensor

from robustpeft.data.image_data import ImageData
from robustpeft.data.image_store import ImageStore
from robustpeft.data.split import Split
from robustpeft.errors import UserError

__all__ = ["cropped"]


@final
@dataclass(frozen=True, eq=False)
class _Cropped:
    """The centres of the images of a store."""

    whole: ImageStore
    size: tuple[int, int]

    @property
    def in_memory(self) -> bool:
        return self.whole.in_memory

    def __len__(self) -> int:
        return len(self.whole)

    def name(self, row: int) -> str:
        return self.whole.name(row)

    def read(self, rows: Tensor) -> Tensor:
        (height, width), (tall, wide) = self.size, self.whole.size
        top, left = (tall - height) // 2, (wide - width) // 2
        return self.whole.read(rows)[:, :, top : top + height, left : left + width]


def cropped(data: ImageData, size: tuple[int, int]) -> ImageData:
    """Return the data with the central (height, width) pixels of every image; ids and labels stay.

    Raises:
        UserError: If the images are smaller.
    """
    if any(mine < wanted for mine, wanted in zip(data.image_size, size, strict=True)):
        raise UserError(f"{data.name} has images of {data.image_size} pixels; {size} cannot be cut out of them")
    parts = {
        name: Split(_Cropped(split.store, size), split.rows, split.labels, split.ids) if len(split) else split
        for name, split in data.splits.items()
    }
    said = f"{data.preprocessing}; of that the central {size[0]}x{size[1]}"
    return dataclasses.replace(
        data, train=parts["train"], validation=parts["validation"], test=parts["test"], preprocessing=said
    )
