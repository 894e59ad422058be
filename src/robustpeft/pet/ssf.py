"""SSF: the output of every layer is scaled and shifted, channel by channel.

    y = gamma * op(x) + beta

behind the patch embedding, both norms, qkv, proj, fc1 and fc2 of each block, and the last norm.

Source: Lian et al. 2022, SSF, arXiv:2210.08823. As there, gamma starts N(1, 0.02) and beta N(0, 0.02), so that the
network does not start as it was; `init_std` 0 is the identity at the start. When the parameters stand still, gamma is
folded into the layer's weight and bias, and nothing is left to compute.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.base import PETMethod
from robustpeft.pet.scaled import Scaled, count_scaled
from robustpeft.types import derive_seed

__all__ = ["SSF"]


@final
@dataclass(frozen=True)
class SSF(PETMethod):
    """A trained scale and shift of each channel behind every linear map and norm; mergeable.

    It is the identity at the start if `init_std` is 0. Trained parameters without the head: ``22 d L + 4 d`` for L
    blocks of width d whose MLP is 4 d wide, the patch embedding and the last norm.

    Args:
        init_std: Standard deviation of the initial scales around 1 and of the initial shifts around 0, at least 0.
    """

    identity_at_start: ClassVar[bool] = False
    mergeable: ClassVar[bool] = True

    init_std: float = 0.02

    def __post_init__(self) -> None:
        if not (math.isfinite(self.init_std) and self.init_std >= 0):
            raise UserError(f"init_std must be at least 0; got {self.init_std}")
        object.__setattr__(self, "identity_at_start", self.init_std == 0)

    def modules(self, model: ImageClassifier, seed: int) -> dict[str, nn.Module]:
        """Return one module per layer; the model is not changed.

        Raises:
            UserError: If a layer is of a kind that cannot be scaled.
        """
        network = model.network
        device = next(network.parameters()).device
        return {
            path: Scaled(network.get_submodule(path), path, self.init_std, derive_seed(seed, path), device)
            for path in self._layers(model)
        }

    def thawed(self, model: ImageClassifier) -> set[str]:
        """Return nothing."""
        return set()

    def count(self, model: ImageClassifier) -> int:
        """Return two per channel, summed over the layers."""
        return sum(count_scaled(model.network.get_submodule(path), path) for path in self._layers(model))

    def _layers(self, model: ImageClassifier) -> tuple[str, ...]:
        seams = model.require_seams()
        if seams.absent:
            raise UserError(f"ssf cannot scale every layer of this {seams.family}: {seams.absent}")
        return tuple(dict.fromkeys((*(site.module for site in seams.sites), *seams.norms)))
