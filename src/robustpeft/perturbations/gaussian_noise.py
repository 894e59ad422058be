"""What if every value of the image is a little off, at random?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from robustpeft.errors import UserError
from robustpeft.perturbations.base import Perturbation
from robustpeft.types import Noise

__all__ = ["GaussianNoise"]


@final
@dataclass(frozen=True)
class GaussianNoise(Perturbation):
    """Adds sigma * N(0, 1) to every channel of every pixel independently, then clips to [0, 1].

    Clipping makes the noise of black and white regions one-sided and its standard deviation there smaller than sigma.
    A larger sigma scales the same noise.

    Args:
        sigma: Standard deviation before clipping, in pixel units on [0, 1]; write ``25 / 255``.
        per_batch: The same noise is added to all images.

    Raises:
        UserError: If sigma cannot be in these units.

    Source:
        Ruan et al. 2024, "Understanding Robustness of Parameter-Efficient Tuning for Image Classification", arXiv
        2410.09845, names it; their sigma is not published, so ours is our own.
    """

    sigma: float
    strength_field: ClassVar[str] = "sigma"

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= 1:
            hint = f" (did you mean {self.sigma:g} / 255?)" if 1 < self.sigma <= 255 else ""
            raise UserError(f"sigma must be in pixel units on [0, 1]; got {self.sigma:g}{hint}")

    def apply(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the images plus noise."""
        return images + self.sigma * noise.normal(images.shape[1:]).to(images.dtype)
