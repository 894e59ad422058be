"""How many images fit into memory at once? Halved wherever they did not, until they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robustpeft.errors import UserError

__all__ = ["AtOnce", "is_out_of_memory", "join_rows", "parts"]

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")
Half = Literal["attack", "parameters"]
_WORDS = {"attack": "the attack", "parameters": "the parameter pass"}


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, on a GPU, on MPS or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _MEMORY_WORDS)


def parts(rows: int, size: int | None, device: torch.device) -> tuple[Tensor, ...]:
    """Return the row numbers of a batch, int64, in parts of at most `size`; None for one part."""
    return torch.split(torch.arange(rows, device=device), size or max(rows, 1))


def join_rows(pieces: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return tensors by name whose rows are those of all pieces in order."""
    return {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}


@dataclass
class AtOnce:
    """How many images each half of a step takes at once.

    Args:
        parameters: In the training pass; None for the whole batch.
        attack: In the inner maximisation; None for the whole batch.
    """

    parameters: int | None = None
    attack: int | None = None

    def halve(self, half: Half, batch: int) -> str:
        """Take half as many images from now on, and return what was done, in words.

        Args:
            half: Where memory ran out.
            batch: Images in the batch.

        Raises:
            UserError: If it was one image at a time already.
        """
        now = min(getattr(self, half) or batch, batch)
        if now <= 1:
            raise UserError(f"out of memory in {_WORDS[half]} with one image at once; take a smaller model or images")
        setattr(self, half, (now + 1) // 2)
        return f"{_WORDS[half]} takes {(now + 1) // 2} images at once from now on, to the same result"
