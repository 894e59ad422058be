"""Where does chance come from? From a hash of what it is for, so that no order of work can change a result.

A draw is a pure function of (seed, image id, stream, restart, step, position): splitmix64's finaliser applied to a
per-image key plus a counter, in wrapping 64-bit integer arithmetic. Bit-identical for any batch, order or shard.
Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators" (the mixing constants).
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Noise", "content_ids", "derive_seed"]

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)
_CHUNK = 1 << 17  # numbers drawn at a time on a CPU: 1 MiB


def _shift(value: Tensor, bits: int) -> Tensor:
    """Return the logical right shift of int64 (torch's own keeps the sign)."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _mix(value: Tensor) -> Tensor:
    """Return splitmix64's finaliser of each int64 element: a bijection whose output bits look independent."""
    value = (value ^ _shift(value, 30)) * _MIX_1
    value = (value ^ _shift(value, 27)) * _MIX_2
    return value ^ _shift(value, 31)


def _mix_(value: Tensor) -> Tensor:
    """Mix like `_mix`, in place."""
    for bits, factor in ((30, _MIX_1), (27, _MIX_2)):
        value.bitwise_xor_((value >> bits).bitwise_and_((1 << (64 - bits)) - 1)).mul_(factor)
    return value.bitwise_xor_((value >> 31).bitwise_and_((1 << 33) - 1))


def derive_seed(*parts: int | str) -> int:
    """Return a non-negative 63-bit seed that depends on every part and on their order."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def content_ids(images: Tensor) -> Tensor:
    """Return one int64 id per image, computed from its pixels alone, so that it does not depend on its batch.

    Args:
        images: Float (b, 3, h, w).

    Returns:
        Int64 (b,). Equal images have equal ids; unequal ones collide with probability about 2**-64 a pair.
    """
    if images.shape[0] == 0:
        return torch.zeros(0, dtype=torch.int64, device=images.device)
    values = images.detach().float() + 0.0  # -0.0 equals 0.0 but has other bits; the sum is 0.0 for both
    bits = values.contiguous().flatten(1).view(torch.int32).long()
    counter = torch.arange(1, bits.shape[1] + 1, device=images.device) * _GOLDEN
    return _mix(_mix(bits + counter).sum(dim=1))


@dataclass(frozen=True)
class Noise:
    """Random numbers for a batch, keyed by image: row i depends on ids[i] and the other keys, on nothing else.

    Args:
        seed: The run's seed.
        ids: Int64 (b,), one per image.
        stream: What the numbers are for, for example ``pgd``; different streams are independent.
        restart: Restart of the attack; one for all rows, or one for each.
        step: Step of the attack, likewise.
    """

    seed: int
    ids: Tensor
    stream: str
    restart: int | tuple[int, ...] = 0
    step: int | tuple[int, ...] = 0

    def at(self, *, restart: int | tuple[int, ...] | None = None, step: int | tuple[int, ...] | None = None) -> Noise:
        """Return the noise of another restart or step."""
        return Noise(
            self.seed,
            self.ids,
            self.stream,
            self.restart if restart is None else restart,
            self.step if step is None else step,
        )

    def bits(self, shape: Sequence[int], purpose: int = 0) -> Tensor:
        """Return int64 (b, *shape) of uniformly distributed bits; `purpose` separates draws of one step."""
        size = math.prod(shape)
        key = _mix(self.ids.long() ^ self._salts(purpose))[:, None]
        counter = torch.arange(1, size + 1, device=self.ids.device) * _GOLDEN
        # A few rows at a time: the dozen passes of the hash then stay in the processor's cache, ten times faster.
        rows = max(1, _CHUNK // max(size, 1)) if self.ids.device.type == "cpu" else max(1, len(key))
        drawn = torch.empty(len(key), size, dtype=torch.int64, device=self.ids.device)
        for start in range(0, len(key), rows):
            part = drawn[start : start + rows]
            part.copy_(_mix_(key[start : start + rows] + counter))
        return drawn.reshape(len(key), *shape)

    def uniform(self, shape: Sequence[int], purpose: int = 0) -> Tensor:
        """Return float32 (b, *shape) uniform on [0, 1), on a lattice of 2**-24."""
        bits = self.bits(shape, purpose)
        return bits.bitwise_right_shift_(40).bitwise_and_((1 << 24) - 1).float().mul_(2.0**-24)

    def normal(self, shape: Sequence[int], purpose: int = 0) -> Tensor:
        """Return float32 (b, *shape) from the standard normal distribution (Box and Muller 1958).

        Computed in float64, whose last bit may depend on where in the batch a number lies (vector or scalar code of
        log and cos); rounding to float32 hides that but for about one number in 2**29, then off by one unit.
        """
        bits = self.bits(shape, purpose)
        radius = (_shift(bits, 32).double() + 0.5) * 2.0**-32
        angle = (bits & 0xFFFFFFFF).double() * (2.0 * math.pi * 2.0**-32)
        return (torch.sqrt(-2.0 * torch.log(radius)) * torch.cos(angle)).float()

    def permutation(self, length: int, purpose: int = 0) -> Tensor:
        """Return int64 (b, length): one uniformly random permutation per image."""
        return torch.argsort(self.bits((length,), purpose), dim=1, stable=True)

    def _salts(self, purpose: int) -> int | Tensor:
        if isinstance(self.restart, int) and isinstance(self.step, int):
            return _salt(self.seed, self.stream, self.restart, self.step, purpose)
        restarts, steps = (v if isinstance(v, tuple) else (v,) * len(self.ids) for v in (self.restart, self.step))
        salts = [_salt(self.seed, self.stream, r, s, purpose) for r, s in zip(restarts, steps, strict=True)]
        return torch.tensor(salts, dtype=torch.int64, device=self.ids.device)


@functools.lru_cache(maxsize=4096)
def _salt(seed: int, stream: str, restart: int, step: int, purpose: int) -> int:
    return derive_seed(seed, stream, restart, step, purpose)
