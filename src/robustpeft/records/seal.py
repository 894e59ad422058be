"""What was fixed before the first attack? The plan of an audit, with a digest that changes if any part of it does.

The digest stands in the ledger's first line and in the record. It says nothing of when it was made: only a digest that
was published beforehand shows that the plan was not chosen afterwards.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["KeptFile", "Seal", "canonical_digest"]


@dataclass(frozen=True)
class Seal:
    """A plan of an audit and the digest of its canonical form; no path, no time and no machine is in it.

    Args:
        model: SHA-256 of the model's kind and tensors; ``unknown`` of a plain callable.
        data: SHA-256 over the images' ids and labels, in order.
        pixels: SHA-256 over their pixels, float32, in order.
        images: How many there are.
        image_size: Height and width at which epsilon is imposed.
        classes: Class names, label i is entry i.
        seed: Of all randomness.
        plan: Attacks with all their values, norm, radii, perturbations, effort of the checks.
        versions: Of the software on which the result depends.
        digest: Of all other fields; computed if empty. One that was read from a file is kept as it was, so that a
            change of the other fields shows.
    """

    model: str
    data: str
    pixels: str
    images: int
    image_size: tuple[int, int]
    classes: tuple[str, ...]
    seed: int
    plan: Mapping[str, Any]
    versions: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", self.computed())

    def computed(self) -> str:
        """Return the digest that the other fields have."""
        plain = dataclasses.asdict(self)
        del plain["digest"]
        return canonical_digest(plain)


@dataclass(frozen=True)
class KeptFile:
    """Adversarial images that lie beside a record: of every image that was broken, the one of the smallest radius.

    Args:
        file: Path within the record's directory, for example ``adversarial/linf-0.1.npz``; a member per image, named
            by its id, float32 (3, h, w).
        threat: Within which all of them lie, ``{"norm": ..., "epsilon": ...}``.
        images: How many.
        bytes: Size of the file.
        sha256: Of the file.
    """

    file: str
    threat: Mapping[str, Any]
    images: int
    bytes: int
    sha256: str


def canonical_digest(value: Any) -> str:
    """Return the SHA-256 of plain data as JSON: keys in order, no blanks, ASCII, whole numbers without a point.

    Raises:
        ValueError: For NaN and infinity.
    """
    text = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """Return the same with ``1.0`` written as ``1``: values that are equal must have one digest."""
    if isinstance(value, Mapping):
        return {str(key): _canonical(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
