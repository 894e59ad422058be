"""What may a person say of somebody else's model? One value; whatever is None is stated by its files, or probed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from robustpeft.errors import UserError, nearest_hint
from robustpeft.study.targets.normalizations import as_normalization

__all__ = ["ORDERS", "Facts", "option_of"]

ORDERS = ("data", "lexicographic", "natural", "fitted")
"""In which order of the data's classes the outputs come: the data's own, sorted as text, sorted with numbers as
numbers, or fitted to the confusion matrix."""


@dataclass(frozen=True)
class Facts:
    """What is known of a model beside its name.

    Args:
        weights: A file of weights, or where the backbone's weights lie.
        architecture: A name of timm's.
        image_size: Side of the square images that it takes, in pixels.
        normalization: A name in `NORMALIZATIONS`, or means and deviations as ``0.5,0.5,0.5/0.25,0.25,0.25``.
        classes: Names of its outputs in order: a file, a comma list, or ``imagenet``.
        class_order: One of `ORDERS`, where its outputs have no names.
        crop: Share of the side of an image that is left when its centre is cut out, in (0, 1].
        claimed_clean: Clean accuracy that its author claims, in [0, 1].
        options: Keyword arguments of a factory.
        trust: Import what the model names.

    Raises:
        UserError: If a field is not that.
    """

    weights: str | None = None
    architecture: str | None = None
    image_size: int | None = None
    normalization: str | None = None
    classes: str | None = None
    class_order: str | None = None
    crop: float | None = None
    claimed_clean: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    trust: bool = False

    def __post_init__(self) -> None:
        if self.image_size is not None and self.image_size < 1:
            raise UserError(f"image_size must be at least 1; got {self.image_size}")
        if self.crop is not None and not 0 < self.crop <= 1:
            raise UserError(f"crop must be a share in (0, 1], for example 0.875; got {self.crop:g}")
        if self.normalization is not None:
            as_normalization(self.normalization)
        if self.class_order is not None and self.class_order not in ORDERS:
            raise UserError(f"unknown class order {self.class_order!r}; {nearest_hint(self.class_order, ORDERS)}")
        claim = self.claimed_clean
        if claim is not None and not 0 <= claim <= 1:
            meant = f" (did you mean {claim / 100:g}?)" if 1 < claim <= 100 else ""
            raise UserError(f"claimed_clean must be a share in [0, 1]; got {claim:g}{meant}")

    def given(self) -> frozenset[str]:
        """Return the names of the fields that say something."""
        return frozenset(f.name for f in fields(self) if getattr(self, f.name) not in (None, False, {}))


def option_of(name: str) -> str:
    """Return how a field is typed on the command line."""
    return "--option" if name == "options" else f"--{name.replace('_', '-')}"
