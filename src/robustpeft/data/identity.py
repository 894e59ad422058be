"""Which image is this? An id that follows the image through subsets, shards and resumed runs.

Ids have 52 bits, so that every JSON reader, JavaScript's included, keeps them exactly.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor

from robustpeft.errors import UserError

__all__ = ["ids_of_contents", "ids_of_names"]


def _short(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big") >> 12


def ids_of_names(names: Iterable[str]) -> Tensor:
    """Return int64 (n,): one id per name, computed from that name alone.

    Raises:
        UserError: If two names share an id (probability about n**2 / 2**53 for distinct names).
    """
    seen: dict[int, str] = {}
    for name in names:
        number = _short(hashlib.sha256(os.fsencode(name)).digest())
        if number in seen:
            raise UserError(f"the images {seen[number]!r} and {name!r} have the same id; rename one of them")
        seen[number] = name
    return torch.tensor(list(seen), dtype=torch.int64)


def ids_of_contents(contents: Iterable[bytes | memoryview]) -> Tensor:
    """Return int64 (n,): one id per encoded image, computed from its bytes alone.

    A repeated image gets an id of its own, from its bytes and how often they came before.
    """
    times: Counter[bytes] = Counter()
    numbers: list[int] = []
    for content in contents:
        digest = hashlib.sha256(content).digest()
        repeat = times[digest]
        times[digest] += 1
        numbers.append(_short(digest if repeat == 0 else hashlib.sha256(digest + str(repeat).encode()).digest()))
    return torch.tensor(numbers, dtype=torch.int64)
