"""What do networks usually expect to have been subtracted and divided by? A table of names, and what a person types."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robustpeft.backbones import Normalize
from robustpeft.errors import UserError, nearest_hint

__all__ = ["NORMALIZATIONS", "Normalization", "as_normalization", "named"]

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Normalization:
    """(image - mean) / std, in pixel units on [0, 1].

    Args:
        mean: One value per channel.
        std: One positive value per channel.
    """

    mean: Triple
    std: Triple

    def module(self) -> Normalize:
        """Return the layer that does it."""
        return Normalize(self.mean, self.std)

    @property
    def text(self) -> str:
        """What to type for it: its name in `NORMALIZATIONS`, or its numbers."""
        for name, other in NORMALIZATIONS.items():
            if self.is_close(other):
                return name
        return "/".join(",".join(f"{value:g}" for value in values) for values in (self.mean, self.std))

    def is_close(self, other: Normalization) -> bool:
        """Return whether the two are the same up to the digits that people write down."""
        pairs = zip((*self.mean, *self.std), (*other.mean, *other.std), strict=True)
        return all(math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-6) for a, b in pairs)


NORMALIZATIONS: Mapping[str, Normalization] = {
    "half": Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": Normalization((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "cifar10": Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "none": Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "bytes": Normalization((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
"""The usual ones; ``none``: the network takes [0, 1] as it is, ``bytes``: values from 0 to 255."""


def as_normalization(text: str) -> Normalization:
    """Return what a person typed: a name, or means and deviations as ``0.5,0.5,0.5/0.25,0.25,0.25``.

    Raises:
        UserError: If it is neither, or the numbers cannot be a normalisation.
    """
    if text in NORMALIZATIONS:
        return NORMALIZATIONS[text]
    if not any(sign.isdigit() for sign in text):
        raise UserError(
            f"unknown normalization {text!r}; {nearest_hint(text, NORMALIZATIONS)}, "
            "or mean/std as 0.5,0.5,0.5/0.25,0.25,0.25"
        )
    halves = text.split("/")
    try:
        mean, std = ([float(part) for part in half.split(",")] for half in halves)
    except ValueError as error:
        raise UserError(f"normalization {text!r} is not mean/std as 0.5,0.5,0.5/0.25,0.25,0.25 ({error})") from error
    return named(mean, std)


def named(mean: Sequence[float], std: Sequence[float]) -> Normalization:
    """Return the normalisation of these numbers, one for all channels or one for each.

    Raises:
        UserError: If there are others than one or three, a deviation is not positive, or they are of 8-bit values.
    """
    wide = [tuple(values) * 3 if len(values) == 1 else tuple(values) for values in (mean, std)]
    Normalize(*wide)  # refuses what is none
    (m0, m1, m2), (s0, s1, s2) = wide
    return Normalization((m0, m1, m2), (s0, s1, s2))
