"""Which transformer blocks does a technique go into? All of them, or those that a tuple of indices names."""

from __future__ import annotations

from robustpeft.errors import UserError

__all__ = ["check_blocks", "choose_blocks"]


def check_blocks(blocks: tuple[int, ...] | None) -> None:
    """Raise unless at least one block is named."""
    if blocks is not None and not blocks:
        raise UserError("blocks must name at least one block; got (), use None for all of them")


def choose_blocks(blocks: tuple[int, ...] | None, depth: int) -> tuple[int, ...]:
    """Return the indices of the chosen blocks, each once, in the order of the forward pass.

    Args:
        blocks: Indices, in any order; negative ones count from the end; None for all.
        depth: How many blocks there are.

    Raises:
        UserError: If an index names no block.
    """
    if blocks is None:
        return tuple(range(depth))
    if outside := sorted({block for block in blocks if not -depth <= block < depth}):
        raise UserError(f"blocks {outside} do not exist; this network has blocks 0 to {depth - 1}, or -{depth} to -1")
    return tuple(sorted({block % depth for block in blocks}))
