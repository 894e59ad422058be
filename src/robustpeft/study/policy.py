"""What does a release ask of a model? One YAML file whose schema is these values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from robustpeft.errors import UserError
from robustpeft.types import from_plain

__all__ = ["AtThreat", "Drop", "Policy", "Price", "read_policy"]


@dataclass(frozen=True)
class AtThreat:
    """A least share of images that withstand every attack within a threat.

    Args:
        at_least: In (0, 1].
        epsilon: Radius in pixel units on [0, 1], above 0; ``8/255`` may be written.
        norm: ``linf``, ``l2``, ...
    """

    at_least: float
    epsilon: float
    norm: str = "linf"

    def __post_init__(self) -> None:
        _check_share("at_least", self.at_least)
        if not self.epsilon > 0:
            raise UserError(f"epsilon must be above 0, in pixel units on [0, 1]; got {self.epsilon:g}")


@dataclass(frozen=True)
class Drop:
    """A most that clean accuracy may fall under a perturbation or corruption, image by image.

    Args:
        under: Name of the perturbation, for example ``patch_drop`` or ``corruption``, or the key of one measurement,
            for example ``patch_drop@0.3``. Of several measurements every one is held to it.
        at_most: In [0, 1).
        strength: Only those of this strength or severity; None for all.
    """

    under: str
    at_most: float
    strength: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.at_most < 1:
            raise UserError(f"at_most must be a share in [0, 1); got {self.at_most:g}")


@dataclass(frozen=True)
class Price:
    """A most that clean accuracy may be below that of a reference, on the same images.

    Args:
        at_most: In [0, 1).
        reference: Path of the reference's record, from the directory of the policy.
    """

    at_most: float
    reference: str

    def __post_init__(self) -> None:
        if not 0 <= self.at_most < 1:
            raise UserError(f"at_most must be a share in [0, 1); got {self.at_most:g}")


@dataclass(frozen=True)
class Policy:
    """What a record must show. Every number is held against the pessimistic end of its 95 % interval.

    Args:
        clean_accuracy: At least this share of clean images correct.
        robust_accuracy: At least this share withstands all attacks together within a threat.
        worst_class_clean_accuracy: The same as the first, of the class that fares worst.
        worst_class_robust_accuracy: The same as the second, of the class that fares worst.
        drop: How far accuracy may fall without an adversary.
        price: How far clean accuracy may lie below a reference's.
        checks: That must pass: a check's key, or a group of them (``integrity``, ``model``, ``strength``,
            ``statistics``), of which none may fail.
        images: At least so many.
        max_age_days: The audit is no older.
        sealed: The record has a seal, and its files agree with each other.
        waive: Failed checks that are put up with, by key, with the reason. A check of integrity cannot be waived.

    Raises:
        UserError: If a value is out of range, a waiver has no reason, or nothing is asked.
    """

    clean_accuracy: float | None = None
    robust_accuracy: tuple[AtThreat, ...] = ()
    worst_class_clean_accuracy: float | None = None
    worst_class_robust_accuracy: tuple[AtThreat, ...] = ()
    drop: tuple[Drop, ...] = ()
    price: Price | None = None
    checks: tuple[str, ...] = ()
    images: int | None = None
    max_age_days: float | None = None
    sealed: bool = False
    waive: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("clean_accuracy", "worst_class_clean_accuracy"):
            if (share := getattr(self, name)) is not None:
                _check_share(name, share)
        if self.images is not None and self.images < 1:
            raise UserError(f"images must be at least 1; got {self.images}")
        if self.max_age_days is not None and not self.max_age_days > 0:
            raise UserError(f"max_age_days must be above 0; got {self.max_age_days:g}")
        for key, reason in self.waive.items():
            if not reason.strip():
                raise UserError(f"waive.{key} has no reason; say why the check is put up with")
        if not any(getattr(self, name) not in (None, (), False) for name in _DEMANDS):
            raise UserError(f"the policy asks for nothing; it may ask for {', '.join(_DEMANDS)}")


_DEMANDS = (
    "clean_accuracy",
    "robust_accuracy",
    "worst_class_clean_accuracy",
    "worst_class_robust_accuracy",
    "drop",
    "price",
    "checks",
    "images",
    "max_age_days",
    "sealed",
)


def read_policy(path: str | Path) -> Policy:
    """Return the policy of a YAML file.

    Raises:
        UserError: If there is none, it is not valid YAML, or it has an unknown key or a wrong value.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f"no policy at {file}: expected a YAML file")
    try:
        plain = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(plain, dict):
        raise UserError(f"{file} must hold a mapping; got {type(plain).__name__}")
    try:
        return from_plain(Policy, plain, ())
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def _check_share(name: str, share: float) -> None:
    if not 0 < share <= 1:
        hint = f" (did you mean {share / 100:g}?)" if 1 < share <= 100 else ""
        raise UserError(f"{name} must be a share in (0, 1]; got {share:g}{hint}")
