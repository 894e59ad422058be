"""Which images are there to try? A few of the test split in the classes' proportions, chosen without any model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustpeft.data import ImageData

__all__ = ["PER_PAGE", "Example", "examples"]

PER_PAGE = 12


@dataclass(frozen=True, eq=False)
class Example:
    """One image.

    Args:
        id: In its split.
        label: Its true class.
        image: Float (3, h, w) in [0, 1].
    """

    id: int
    label: int
    image: Tensor


def examples(images: ImageData, page: int, most: int = PER_PAGE) -> tuple[Example, ...]:
    """Return some test images; every page is another draw, the same each time.

    Args:
        images: The data.
        page: Which draw, from 0.
        most: How many at most.
    """
    if not len(images.test):
        return ()
    chosen = images.test.take(most, seed=page)
    order = torch.arange(len(chosen))
    return tuple(
        Example(int(batch.ids[i]), int(batch.labels[i]), batch.images[i])
        for batch in chosen.subset(order[:most]).batches(most)
        for i in range(len(batch.labels))
    )
