"""In which precision do passes through a model run?"""

from __future__ import annotations

import torch

from robustpeft.errors import UserError, nearest_hint

__all__ = ["PRECISIONS", "passes_dtype"]

PRECISIONS = ("auto", "float32", "bf16")
"""``auto`` is bf16 on a GPU that computes in it, and float32 elsewhere."""


def passes_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return what the passes are cast to: bfloat16, or None for float32.

    Args:
        precision: One of `PRECISIONS`.
        device: Where the model lies.

    Raises:
        UserError: If it is none of them.
    """
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r}; {nearest_hint(precision, PRECISIONS)}")
    if precision == "auto":
        has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_it else None
    return torch.bfloat16 if precision == "bf16" else None
