"""What does one search work on? Images with labels, the threat around them, and the chance it may use."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from robustpeft.attacks.rows import Rows
from robustpeft.types import Noise, Threat

__all__ = ["Target"]


@dataclass(frozen=True)
class Target(Rows):
    """The images of one batch, each at its own run and pass of the search.

    Args:
        images: Float32 (b, 3, h, w) in [0, 1], clean.
        labels: Int64 (b,), the true classes.
        threat: Norm and epsilon.
        noise: Keyed by image id; its `restart` is the run (a restart, a target class) and its `step` the pass.
        clean: Logits (b, k) of the clean images; None unless the search's course asks for them.
    """

    images: Tensor
    labels: Tensor
    threat: Threat
    noise: Noise
    clean: Tensor | None = None

    def within(self, candidates: Tensor) -> Tensor:
        """Return the candidates projected into the threat around the images and into [0, 1]."""
        return self.threat.within(self.images, candidates)

    def at(self, run: int | tuple[int, ...], step: int | tuple[int, ...] = 0) -> Target:
        """Return the same images at another run and pass; one for all, or one each."""
        return dataclasses.replace(self, noise=self.noise.at(restart=run, step=step))

    @property
    def runs(self) -> Tensor:
        """Int64 (b,): the run each image is in."""
        run = self.noise.restart
        values = run if isinstance(run, tuple) else (run,) * len(self.labels)
        return torch.tensor(values, dtype=torch.int64, device=self.labels.device)

    def likely_wrong(self, ranks: Tensor) -> Tensor:
        """Return int64 (b,): the wrong class whose clean logit is the largest but `ranks` (b,) others."""
        assert self.clean is not None, "a search towards classes asks for clean logits in its course"
        logits = self.clean.scatter(1, self.labels[:, None], -torch.inf)
        order = torch.argsort(logits, dim=1, descending=True, stable=True)
        return order.gather(1, ranks[:, None]).squeeze(1)
