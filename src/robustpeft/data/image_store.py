"""Where do the pixels lie? Decoded in memory, or decoded on demand by a few threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

__all__ = ["ImageStore", "InMemory", "OnDemand", "read_ahead"]


class ImageStore(Protocol):
    """Images of one size, numbered by row."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    @property
    def in_memory(self) -> bool:
        """Whether reading costs no decoding."""
        ...

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def name(self, row: int) -> str:
        """Return what a person calls the image, for messages."""
        ...

    def read(self, rows: Tensor) -> Tensor:
        """Return uint8 (b, 3, h, w) for int64 rows (b,)."""
        ...


@final
@dataclass(frozen=True, eq=False)
class InMemory:
    """Decoded images.

    Args:
        pixels: Uint8 (n, 3, h, w).
        names: One name per image; empty if they are known by number only.
    """

    pixels: Tensor
    names: Sequence[str] = ()
    in_memory: bool = True

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[2], self.pixels.shape[3]

    def __len__(self) -> int:
        return self.pixels.shape[0]

    def name(self, row: int) -> str:
        """Return its name, or its number."""
        return self.names[row] if self.names else f"image {row}"

    def read(self, rows: Tensor) -> Tensor:
        """Return uint8 (b, 3, h, w): copies of the rows."""
        return self.pixels[rows]


@final
@dataclass(frozen=True, eq=False)
class OnDemand:
    """Images decoded whenever they are read.

    Args:
        decode: Returns row i as uint8 (3, h, w).
        names: One name per image.
        size: Height and width in pixels.
        threads: Images decoded at once.
    """

    decode: Callable[[int], Tensor]
    names: Sequence[str]
    size: tuple[int, int]
    threads: int
    in_memory: bool = False

    def __len__(self) -> int:
        return len(self.names)

    def name(self, row: int) -> str:
        """Return its name."""
        return self.names[row]

    def read(self, rows: Tensor) -> Tensor:
        """Return uint8 (b, 3, h, w).

        Raises:
            UserError: If one of them cannot be read.
        """
        # A pool per batch costs microseconds beside the decoding and leaves no thread behind that a fork could meet.
        with ThreadPoolExecutor(self.threads) as pool:
            images = list(pool.map(self.decode, rows.tolist()))
        return torch.stack(images) if images else torch.empty((0, 3, *self.size), dtype=torch.uint8)


def read_ahead(store: ImageStore, batches: Iterable[Tensor], ahead: int = 2) -> Iterator[Tensor]:
    """Yield the images of each batch of rows, decoding up to `ahead` batches before they are asked for."""
    if store.in_memory:
        yield from map(store.read, batches)
        return
    waiting: deque[Future[Tensor]] = deque()
    with ThreadPoolExecutor(1) as worker:
        try:
            for rows in batches:
                waiting.append(worker.submit(store.read, rows))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
