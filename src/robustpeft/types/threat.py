"""What may the adversary do to an image? A norm and a radius, in pixel units."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from robustpeft.errors import UserError
from robustpeft.types.fields import Interval, check_fields
from robustpeft.types.randomness import Noise

__all__ = ["L2", "Linf", "Threat"]


@dataclass(frozen=True)
class Threat(ABC):
    """A ball around the image, intersected with the box [0, 1].

    Args:
        epsilon: Radius in pixel units on [0, 1], at least 0; write ``8 / 255``.

    Raises:
        UserError: If epsilon cannot be in these units.
    """

    epsilon: float
    norm: ClassVar[str]
    max_epsilon: ClassVar[float]

    def __post_init__(self) -> None:
        check_fields(self, epsilon=Interval(0))
        if self.epsilon > self.max_epsilon:
            raise UserError(
                f"epsilon must be in pixel units on [0, 1]; got {self.epsilon:g} (did you mean {self.epsilon:g} / 255?)"
            )

    def __str__(self) -> str:
        """Return for example ``linf 8/255`` or ``l2 0.5``; fields besides epsilon behind it, so that it tells all."""
        short = f"{self.epsilon:g}"
        fraction = Fraction(self.epsilon * 255).limit_denominator(8)
        if float(short) != self.epsilon and math.isclose(float(fraction), self.epsilon * 255, rel_tol=1e-9):
            short = f"{float(fraction):g}/255"
        others = [f"{f.name}={getattr(self, f.name)}" for f in dataclasses.fields(self) if f.name != "epsilon"]
        return f"{self.norm} {short}" + (" " + ",".join(others) if others else "")

    @final
    def with_epsilon(self, epsilon: float) -> Self:
        """Return the same norm with another radius."""
        return dataclasses.replace(self, epsilon=epsilon)

    def region(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return first row, first column, rows and columns of the part of the image outside which nothing may move."""
        return 0, 0, height, width

    @abstractmethod
    def project(self, delta: Tensor) -> Tensor:
        """Return the point of the ball nearest to each perturbation (b, 3, h, w)."""

    @abstractmethod
    def ascend(self, gradient: Tensor) -> Tensor:
        """Return, per image, the direction of unit norm in which a linear function with this gradient grows fastest."""

    @abstractmethod
    def random(self, noise: Noise, shape: tuple[int, ...]) -> Tensor:
        """Return float32 (b, *shape) drawn uniformly from the ball."""

    @abstractmethod
    def within(self, images: Tensor, candidates: Tensor) -> Tensor:
        """Return the candidates (b, 3, h, w) brought into the ball around the images and into [0, 1]."""

    @abstractmethod
    def size(self, delta: Tensor) -> Tensor:
        """Return the norm (b,) of each perturbation."""


@final
@dataclass(frozen=True)
class Linf(Threat):
    """Every pixel may move by at most epsilon."""

    norm: ClassVar[str] = "linf"
    max_epsilon: ClassVar[float] = 1.0

    def project(self, delta: Tensor) -> Tensor:
        """Return the perturbation clipped to [-epsilon, epsilon]."""
        return delta.clamp(-self.epsilon, self.epsilon)

    def ascend(self, gradient: Tensor) -> Tensor:
        """Return the sign of the gradient."""
        return gradient.sign()

    def random(self, noise: Noise, shape: tuple[int, ...]) -> Tensor:
        """Return independent uniform values on [-epsilon, epsilon)."""
        return (noise.uniform(shape) * 2.0 - 1.0) * self.epsilon

    def within(self, images: Tensor, candidates: Tensor) -> Tensor:
        """Return the nearest points of ball and box."""
        return (images + self.project(candidates - images)).clamp(0.0, 1.0)

    def size(self, delta: Tensor) -> Tensor:
        """Return the largest absolute value of each image's perturbation."""
        return delta.abs().flatten(1).amax(dim=1)


@final
@dataclass(frozen=True)
class L2(Threat):
    """The Euclidean length of the perturbation of the whole image may be at most epsilon."""

    norm: ClassVar[str] = "l2"
    max_epsilon: ClassVar[float] = math.inf  # a 224 px image in L2 may well have epsilon 8

    def project(self, delta: Tensor) -> Tensor:
        """Return the perturbation scaled back onto the sphere where it is longer than epsilon."""
        length = _per_image(self.size(delta))
        return delta * torch.clamp(self.epsilon / length.clamp_min(1e-12), max=1.0)

    def ascend(self, gradient: Tensor) -> Tensor:
        """Return the gradient divided by its length (0 where it vanishes)."""
        # Dividing by the largest entry first keeps the squares of tiny gradients from underflowing.
        largest = _per_image(gradient.abs().flatten(1).amax(dim=1))
        scaled = gradient / torch.where(largest > 0, largest, torch.ones_like(largest))
        return scaled / _per_image(self.size(scaled)).clamp_min(1.0)  # at least 1 unless it vanishes

    def random(self, noise: Noise, shape: tuple[int, ...]) -> Tensor:
        """Return a direction from the sphere times a radius whose d-th power is uniform (d pixels)."""
        direction = noise.normal(shape, purpose=0)
        # In float32 the last bit of a power depends on where in the batch it is computed (vector or scalar code).
        radius = noise.uniform((1,), purpose=1).double().pow(1.0 / math.prod(shape)).float() * self.epsilon
        return direction / _per_image(self.size(direction)).clamp_min(1e-12) * radius.reshape(-1, 1, 1, 1)

    def within(self, images: Tensor, candidates: Tensor) -> Tensor:
        """Return points of ball and box: first into the ball, then into the box, which shortens them further."""
        return (images + self.project(candidates - images)).clamp(0.0, 1.0)

    def size(self, delta: Tensor) -> Tensor:
        """Return the Euclidean length of each image's perturbation."""
        length: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
        return length


def _per_image(values: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1, 1)
