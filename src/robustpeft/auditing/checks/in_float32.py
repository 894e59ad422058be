"""What would a model answer if nothing were rounded to half precision? The same code, its casts left out."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["InFloat32"]

_NARROW = (torch.float16, torch.bfloat16)


class InFloat32(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, a cast to half precision gives float32: that of autocast, and any other.

    A cast has the gradient of the identity, so what is differentiated stays the same; what goes is the rounding, in
    which the small differences between two answers are lost. Whatever else rounds (levels, thresholds, bytes) stays.
    Parameters that are kept in half precision are not touched: such a model must be looked at in its own precision.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, function: Any, kinds: Any, given: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        """Return what the function returns, cast to float32 where it casts to less."""
        options = named or {}
        if options.get("dtype") in _NARROW:
            options = options | {"dtype": torch.float32}
        return function(*given, **options)
