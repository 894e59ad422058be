"""What do all perturbations share? The checks, the key of their randomness, and an axis of strength."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, final

import torch
from torch import Tensor

from robustpeft.errors import UserError
from robustpeft.types import Noise, check_images, content_ids

__all__ = ["Perturbation"]


@dataclass(frozen=True)
class Perturbation(ABC):
    """A random change of an image that looks at no model.

    A perturbed image is a function of (seed, image id, class of perturbation, fields): the batch around it does not
    matter, and a stronger perturbation with the same seed meets the same random numbers.

    Args:
        per_batch: All images share one mask, permutation or noise, which then depends on the seed alone: Naseer et al.
            2021 (arXiv 2105.10497, their released code) draw one per batch. Theirs is a new one in every batch; here
            it stays the same from batch to batch, so that the batch size cannot change a result.
    """

    per_batch: bool = field(default=False, kw_only=True)

    strength_field: ClassVar[str] = "ratio"
    """Name of the field that makes the perturbation stronger as it grows."""

    variant_field: ClassVar[str | None] = None
    """Name of the field that says which of several kinds it is; None if there is one kind."""

    @final
    def __call__(self, images: Tensor, *, seed: int = 0, ids: Tensor | None = None) -> Tensor:
        """Return the perturbed images.

        Args:
            images: Float (b, 3, h, w) in [0, 1], before any normalisation.
            seed: Seed of all randomness.
            ids: Int (b,), one per image; by default computed from the pixels. Without effect if `per_batch`.

        Returns:
            A new tensor in [0, 1] of the same shape, dtype and device; differentiable in the images.

        Raises:
            UserError: If the images or ids are not that, or the image size does not fit the fields.
        """
        check_images(images)
        if ids is None:
            ids = content_ids(images)
        elif ids.shape != images.shape[:1] or ids.is_floating_point():
            raise UserError(
                f"ids must be integers of shape ({len(images)},), one per image; got {ids.dtype} {tuple(ids.shape)}"
            )
        keys = torch.zeros_like(ids) if self.per_batch else ids
        perturbed = self.apply(images, Noise(seed, keys.to(images.device), stream=type(self).__name__))
        return perturbed.clamp(0.0, 1.0)

    @abstractmethod
    def apply(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the perturbed images as a new tensor; values outside [0, 1] are clipped afterwards.

        Args:
            images: Float (b, 3, h, w) in [0, 1].
            noise: The only source of chance: one row per image.
        """

    @property
    @final
    def strength(self) -> float:
        """Position on the strength axis: the value of `strength_field`."""
        return float(getattr(self, self.strength_field))

    @property
    @final
    def variant(self) -> str:
        """Which of several kinds it is; empty if there is one kind."""
        return "" if self.variant_field is None else str(getattr(self, self.variant_field))

    @final
    def with_strength(self, value: float) -> Self:
        """Return the same perturbation at another strength.

        Raises:
            UserError: If the field does not take this value.
        """
        whole = isinstance(getattr(self, self.strength_field), int) and float(value).is_integer()
        changes: dict[str, Any] = {self.strength_field: int(value) if whole else value}
        return dataclasses.replace(self, **changes)
