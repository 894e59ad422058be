"""How does a specimen stand around an honest classifier? Something before it, something after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from torch import Tensor, nn

__all__ = ["Around"]


@final
class Around(nn.Module):
    """``after(inner(before(images)))``.

    Args:
        inner: The honest classifier; shared, not copied.
        before: Maps images to images; None for nothing. A module becomes a submodule.
        after: Maps logits to logits; None for nothing.
    """

    def __init__(
        self,
        inner: nn.Module,
        before: Callable[[Tensor], Tensor] | None = None,
        after: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.inner = inner
        self.before = before
        self.after = after
        self.training = inner.training  # not train(): the mode of what is shared stays as it is
        for part in (before, after):
            if isinstance(part, nn.Module):
                part.train(inner.training)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.inner(images if self.before is None else self.before(images))
        return logits if self.after is None else self.after(logits)
