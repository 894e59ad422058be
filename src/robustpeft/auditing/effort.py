"""How much may the checks cost? A few sizes, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robustpeft.errors import UserError, nearest_hint

__all__ = ["EFFORTS", "Effort", "find_effort"]


@dataclass(frozen=True)
class Effort:
    """What the checks may spend; every number is of passes of one image.

    Args:
        images: At most so many images are looked at in each check, at least 1.
        draws: Random perturbations tried on every image.
        queries: Looks of the search without gradients.
        targets: Wrong classes that a search goes towards, one after the other.
        sweep: Try other step sizes too.
        labels: Search by labels alone too, if the plan does not.
    """

    images: int
    draws: int
    queries: int
    targets: int = 3
    sweep: bool = False
    labels: bool = False


EFFORTS: Mapping[str, Effort] = {
    "brief": Effort(images=16, draws=20, queries=50),
    "quick": Effort(images=32, draws=50, queries=100),
    "standard": Effort(images=32, draws=200, queries=500, sweep=True),
    "full": Effort(images=64, draws=1000, queries=1000, targets=9, sweep=True, labels=True),
}
"""The most passes an image that holds: brief about 450, quick 600, standard 2,100, full 6,400."""


def find_effort(name: str) -> Effort | None:
    """Return the effort of that name; None for ``none``.

    Raises:
        UserError: For an unknown name, with the nearest valid one.
    """
    if name == "none":
        return None
    if name not in EFFORTS:
        raise UserError(f"unknown effort of checks {name!r}; {nearest_hint(name, ('none', *EFFORTS))}")
    return EFFORTS[name]
