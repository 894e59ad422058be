"""What do noise, blur, weather and encoders do to an image? The 15 common corruptions at five severities."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from robustpeft.errors import UserError, nearest_hint
from robustpeft.perturbations.base import Perturbation
from robustpeft.perturbations.corruption_blur import BLURS
from robustpeft.perturbations.corruption_digital import DIGITAL
from robustpeft.perturbations.corruption_kind import CorruptionKind
from robustpeft.perturbations.corruption_noise import NOISES
from robustpeft.perturbations.corruption_weather import WEATHER
from robustpeft.types import Noise

__all__ = ["CORRUPTIONS", "Corruption", "corruption_suite"]

CORRUPTIONS: Mapping[str, CorruptionKind] = {**NOISES, **BLURS, **WEATHER, **DIGITAL}
"""The 15 kinds, group by group, in the order of the paper's tables."""

_SMALL = 85  # pixels: the geometric mean of 32 and 224


@final
@dataclass(frozen=True)
class Corruption(Perturbation):
    """One of the 15 common corruptions.

    The same seed gives the same flakes, clouds and directions at every severity. Shot noise and JPEG have no gradient.

    Args:
        kind: A name in `CORRUPTIONS`, for example ``fog``.
        severity: 1 to 5; 0 leaves the image as it is.
        constants: Whose settings of the severities: ``imagenet_c`` (made for 224 pixels), ``cifar_c`` (made for 32),
            or ``auto``, which takes those of CIFAR-10-C where the shorter side is below 85 pixels. Lengths in pixels
            are not scaled to the image.
        per_batch: All images meet the same chance.

    Raises:
        UserError: If there is no such kind, severity or set of constants.

    Cost:
        No model. At 224 pixels 1 to 60 ms an image on one core, shot noise and defocus blur the slowest.

    Source:
        Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
        arXiv 1903.12261, Section 3 and Appendix B; formulas and settings from their released code. Differences:
        keyed randomness; nothing is rounded to eight bits on the way or stored as JPEG at the end (JPEG itself apart);
        both sides of an image that is not square; and **frost is ours**: theirs is pasted from six photographs, which
        are not shipped, so ours draws the ice (with their weights) and its numbers are not ImageNet-C's. Glass blur is
        what their code does, which copies a near pixel where the paper says that two are swapped.
    """

    kind: str
    severity: int
    constants: Literal["auto", "imagenet_c", "cifar_c"] = "auto"
    strength_field: ClassVar[str] = "severity"
    variant_field: ClassVar[str | None] = "kind"

    def __post_init__(self) -> None:
        if self.kind not in CORRUPTIONS:
            raise UserError(f"unknown corruption {self.kind!r}; {nearest_hint(str(self.kind), CORRUPTIONS)}")
        severity: object = self.severity  # `with_strength` may bring a fraction
        if not isinstance(severity, int) or isinstance(severity, bool) or not 0 <= severity <= 5:
            raise UserError(f"severity must be a whole number from 0 (unchanged) to 5; got {severity}")
        if self.constants not in ("auto", "imagenet_c", "cifar_c"):
            raise UserError(f"constants must be 'auto', 'imagenet_c' or 'cifar_c'; got {self.constants!r}")

    def apply(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the corrupted images."""
        if self.severity == 0 or len(images) == 0:
            return images
        kind = CORRUPTIONS[self.kind]
        settings = kind.cifar_c if self._is_small(images) else kind.imagenet_c
        exact = images if images.dtype == torch.float64 else images.float()
        own = dataclasses.replace(noise, stream=f"{noise.stream}.{self.kind}")  # kinds do not share their chance
        return kind.change(exact, own, settings[self.severity - 1]).clamp(0.0, 1.0).to(images.dtype)

    def _is_small(self, images: Tensor) -> bool:
        return self.constants == "cifar_c" or (self.constants == "auto" and min(images.shape[-2:]) < _SMALL)


def corruption_suite(severities: Sequence[int] = (1, 2, 3, 4, 5)) -> tuple[Corruption, ...]:
    """Return all 15 corruptions at these severities, kind by kind: 15 forwards an image for each severity."""
    return tuple(Corruption(kind, severity) for kind in CORRUPTIONS for severity in severities)
