"""What weights are kept? Those of the last step, or their exponential moving average.

average <- d average + (1 - d) weights,   d = min(decay, (1 + t) / (10 + t))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["Average"]


class Average:
    """An exponential moving average of the trained parameters.

    Args:
        parameters: What is averaged, by name.
        decay: d above, in [0, 1); at 0 the average is the weights themselves and costs nothing.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self._parameters = parameters
        self._decay = decay
        self.values = {n: p.detach().clone() for n, p in parameters.items()} if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step number `step`, counted from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, value in self.values.items():
            value.lerp_(self._parameters[name].detach(), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the context the model's parameters are the average."""
        current = {name: self._parameters[name].data for name in self.values}
        for name, value in self.values.items():
            self._parameters[name].data = value
        try:
            yield
        finally:
            for name, value in current.items():
                self._parameters[name].data = value

    def snapshot(self) -> dict[str, Tensor]:
        """Return a copy of the weights that are kept."""
        source = self.values or {name: p.detach() for name, p in self._parameters.items()}
        return {name: value.clone() for name, value in source.items()}
