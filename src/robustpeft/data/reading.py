"""How do encoded images become a store? All at once where they fit into memory, otherwise batch by batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from robustpeft.data.decoding import BrokenImageError
from robustpeft.data.image_store import ImageStore, InMemory, OnDemand
from robustpeft.data.resizing import fit
from robustpeft.errors import UserError

__all__ = ["IN_MEMORY_BYTES", "Broken", "Reading", "listing", "read_images"]

IN_MEMORY_BYTES = 4 * 2**30
"""A set whose decoded pixels need more than this (28,532 images of 224 px) is decoded on demand."""

_THREADS = min(8, os.cpu_count() or 1)
_BLOCK = 256  # images between two moments at which Ctrl-C is heard


@dataclass(frozen=True)
class Broken:
    """An image that cannot be used, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


@dataclass(frozen=True, eq=False)
class Reading:
    """What came of reading a list of images.

    Args:
        store: One row per image asked for, broken ones included.
        rows: Int64: the rows that can be used.
        broken: The others.
    """

    store: ImageStore
    rows: Tensor
    broken: tuple[Broken, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence if something was skipped."""
        if not self.broken:
            return ()
        return (f"{len(self.broken)} of {len(self.store)} images cannot be read: {listing(self.broken)}; skipped",)


@dataclass(frozen=True)
class _Decoder:
    """Turns row i into uint8 (3, h, w); with `strict`, images of another size are refused instead of fitted."""

    decode: Callable[[int], Image.Image]
    names: Sequence[str]
    size: tuple[int, int]
    strict: bool

    def tensor(self, row: int) -> Tensor:
        image = self.decode(row)
        height, width = self.size
        if self.strict and image.size != (width, height):
            raise UserError(
                f"the images differ in size: {self.names[row]} has {image.height}x{image.width} pixels, "
                f"others {height}x{width}; give image_size"
            )
        return torch.from_numpy(np.array(fit(image, self.size))).permute(2, 0, 1)

    def or_user_error(self, row: int) -> Tensor:
        try:
            return self.tensor(row)
        except BrokenImageError as error:
            raise _unreadable([Broken(self.names[row], str(error))], len(self.names)) from error


def read_images(
    decode: Callable[[int], Image.Image],
    names: Sequence[str],
    size: tuple[int, int] | None,
    *,
    skip_broken: bool = False,
    threads: int = _THREADS,
) -> Reading:
    """Return the images as a store.

    Args:
        decode: Returns image i as RGB or raises `BrokenImageError`; called from several threads unless `threads` is 1.
        names: What a person calls each image; at least one.
        size: (height, width) to fit them to; None if they all have the same size already.
        skip_broken: Leave broken images out instead of raising.
        threads: Images decoded at once.

    Raises:
        UserError: Naming the first broken images and their number; if none is left; if sizes differ and none was asked.

    Cost:
        Every image is decoded once; a set above `IN_MEMORY_BYTES` only if `skip_broken`, and a broken image in it is
        otherwise met, and named, when its batch is read.
    """
    decoder = _Decoder(decode, names, size or _first_size(decode, names), strict=size is None)
    height, width = decoder.size
    n = len(names)
    store: ImageStore
    if n * 3 * height * width <= IN_MEMORY_BYTES:
        pixels = torch.zeros((n, 3, height, width), dtype=torch.uint8)
        store = InMemory(pixels, names)
        broken = dict(_each(decoder, pixels.__setitem__, threads))
    else:
        store = OnDemand(decoder.or_user_error, names, decoder.size, threads)
        broken = dict(_each(decoder, lambda row, image: None, threads)) if skip_broken else {}
    found = tuple(Broken(names[row], reason) for row, reason in sorted(broken.items()))
    if found and (not skip_broken or len(found) == n):
        raise _unreadable(found, n)
    rows = torch.tensor([row for row in range(n) if row not in broken], dtype=torch.int64)
    return Reading(store, rows, found)


def _each(decoder: _Decoder, keep: Callable[[int, Tensor], None], threads: int) -> Iterator[tuple[int, str]]:
    """Decode every image, hand it to `keep`, and yield the rows that are broken with the reason."""

    def work(row: int) -> str | None:
        try:
            keep(row, decoder.tensor(row))
        except BrokenImageError as error:
            return str(error)
        return None

    for start in range(0, len(decoder.names), _BLOCK):
        block = range(start, min(start + _BLOCK, len(decoder.names)))
        if threads == 1:
            reasons = list(map(work, block))
        else:
            with ThreadPoolExecutor(threads) as pool:
                reasons = list(pool.map(work, block))
        yield from ((row, reason) for row, reason in zip(block, reasons, strict=True) if reason is not None)


def _first_size(decode: Callable[[int], Image.Image], names: Sequence[str]) -> tuple[int, int]:
    broken: list[Broken] = []
    for row, name in enumerate(names):
        try:
            image = decode(row)
        except BrokenImageError as error:
            broken.append(Broken(name, str(error)))
            continue
        return image.height, image.width
    raise _unreadable(broken, len(names))


def _unreadable(broken: Sequence[Broken], n: int) -> UserError:
    return UserError(
        f"{len(broken)} of {n} images cannot be read: {listing(broken)}; repair or remove them, or leave them out with "
        "skip_broken (data.skip_broken=true)"
    )


def listing(things: Sequence[object], most: int = 5) -> str:
    """Return the first few things in words, and how many more there are."""
    text = ", ".join(str(thing) for thing in things[:most])
    return text + (f" and {len(things) - most} more" if len(things) > most else "")
