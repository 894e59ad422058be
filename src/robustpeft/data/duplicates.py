"""Which images of one split lie in another one too? Equal pixels exactly, and near copies by a perceptual hash.

Measured: all 10 pairs found across the splits of a JPEG copy of CIFAR-10 are copies to the eye. Of 600 photographs of
224 px, 598 are found after JPEG at quality 50, 600 after halving and enlarging, 488 after cutting 2 % off every side,
39 after 5 %; of 600 of 32 px, 543 after JPEG at quality 50. Mirrored copies are not found.

The hash is the difference hash: 64 signs of horizontal differences in a 9x8 grey thumbnail. Signs of nearly flat
regions are chance, so a near copy must also agree with its original in a 16x16 colour thumbnail.
Source: Krawetz 2013, "Kind of like that" (dHash). The second test is ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from robustpeft.data.image_store import read_ahead
from robustpeft.data.reading import listing
from robustpeft.data.split import Split

__all__ = ["Duplicate", "copies_within", "duplicate_warnings", "find_duplicates"]

_MAX_BITS = 10  # of 64; two unrelated photographs differ in about 32, and fewer than 11 once in 10**8
_MAX_DIFFERENCE = 8.0  # mean absolute difference of the colour thumbnails, in 8-bit steps
_CANDIDATES = 8
_BLOCK = 1024


@dataclass(frozen=True)
class Duplicate:
    """One image and its copy in a later split.

    Args:
        split: Name of the earlier split.
        name: The image in it.
        copy_split: Name of the later split.
        copy_name: The image in that one.
        exact: Whether all pixels are equal after resizing; otherwise they are near copies.
    """

    split: str
    name: str
    copy_split: str
    copy_name: str
    exact: bool

    def __str__(self) -> str:
        return f"{self.name} and {self.copy_name}"


@dataclass(frozen=True, eq=False)
class _Prints:
    digests: list[bytes]
    signs: Tensor  # float (n, 64), -1 or 1
    thumbnails: Tensor  # uint8 (n, 768): a float copy of CIFAR-10 would take 184 MB


def find_duplicates(splits: Mapping[str, Split]) -> tuple[Duplicate, ...]:
    """Return the images that lie in an earlier split too, each with the nearest one of every earlier split.

    Args:
        splits: Splits by name, in order; images within one split are not compared.

    Cost:
        Every image is read once; then 128 n m operations for splits of n and m images (seconds for CIFAR-10).
    """
    prints = {name: _prints(split) for name, split in splits.items() if len(split)}
    names = list(prints)
    found: list[Duplicate] = []
    for position, later in enumerate(names):
        for earlier in names[:position]:
            for index, copy_index, exact in _matches(prints[earlier], prints[later]):
                original, copy = splits[earlier].name(index), splits[later].name(copy_index)
                found.append(Duplicate(earlier, original, later, copy, exact))
    return tuple(found)


def copies_within(split: Split) -> tuple[Duplicate, ...]:
    """Return the images that an earlier one of the same split repeats, each with one such earlier image.

    Before a split is made, these are what chance would put on both sides of it.

    Cost:
        As `find_duplicates` of a split with itself.
    """
    if not len(split):
        return ()
    prints = _prints(split)
    found = _matches(prints, prints, earlier_only=True)
    return tuple(Duplicate("", split.name(i), "", split.name(j), exact) for i, j, exact in found)


def duplicate_warnings(splits: Mapping[str, Split]) -> tuple[str, ...]:
    """Return one sentence per pair of splits and kind of copy; a set that is decoded on demand is not searched."""
    if not all(split.store.in_memory for split in splits.values()):
        return ("not searched for copies across splits: the images do not fit into memory",)
    kinds: dict[tuple[str, str, bool], list[Duplicate]] = {}
    for duplicate in find_duplicates(splits):
        kinds.setdefault((duplicate.split, duplicate.copy_split, duplicate.exact), []).append(duplicate)
    return tuple(
        f"{len(pairs)} {'exact' if exact else 'near'} {'copy' if len(pairs) == 1 else 'copies'} "
        f"across {earlier} and {later}: {listing(pairs)}"
        for (earlier, later, exact), pairs in kinds.items()
    )


def _prints(split: Split) -> _Prints:
    digests: list[bytes] = []
    signs, thumbnails = [], []
    for pixels in read_ahead(split.store, torch.split(split.rows, _BLOCK)):
        digests += [hashlib.sha256(image.numpy().tobytes()).digest() for image in pixels]
        images = pixels.float()
        grey = functional.adaptive_avg_pool2d(images.mean(dim=1, keepdim=True), (8, 9))
        signs.append((grey[..., 1:] > grey[..., :-1]).flatten(1).float() * 2.0 - 1.0)
        thumbnails.append(functional.adaptive_avg_pool2d(images, (16, 16)).round().byte().flatten(1))
    return _Prints(digests, torch.cat(signs), torch.cat(thumbnails))


def _matches(earlier: _Prints, later: _Prints, earlier_only: bool = False) -> list[tuple[int, int, bool]]:
    """Return (earlier index, later index, exact) for every image of `later` that has a copy in `earlier`.

    With `earlier_only` the two are the same images, and only a copy that stands before an image counts.
    """
    known = {digest: index for index, digest in reversed(list(enumerate(earlier.digests)))}
    exact = {i: known[digest] for i, digest in enumerate(later.digests) if digest in known}
    if earlier_only:
        exact = {i: first for i, first in exact.items() if first < i}
    near = _near(earlier, later, earlier_only)
    return [
        (exact.get(i, near.get(i, -1)), i, i in exact) for i in range(len(later.digests)) if i in exact or i in near
    ]


def _near(earlier: _Prints, later: _Prints, earlier_only: bool) -> dict[int, int]:
    found: dict[int, int] = {}
    for start in range(0, len(later.digests), _BLOCK):
        block = slice(start, start + _BLOCK)
        agreement = later.signs[block] @ earlier.signs.T  # 64 - 2 x the number of different bits
        if earlier_only:
            rows = torch.arange(start, start + len(agreement))
            agreement.masked_fill_(torch.arange(agreement.shape[1]) >= rows[:, None], -64.0)
        best, candidates = agreement.topk(min(_CANDIDATES, agreement.shape[1]), dim=1)
        for row in (best[:, 0] >= 64 - 2 * _MAX_BITS).nonzero().flatten().tolist():
            close = candidates[row][best[row] >= 64 - 2 * _MAX_BITS]
            apart = earlier.thumbnails[close].float() - later.thumbnails[start + row].float()
            difference = apart.abs().mean(dim=1)
            if float(difference.min()) <= _MAX_DIFFERENCE:
                found[start + row] = int(close[difference.argmin()])
    return found
