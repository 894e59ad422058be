"""How is a plan sealed before the first attack, and how does a seal become a plan again?"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from robustpeft import __version__
from robustpeft.attacks import ATTACK_AXIS
from robustpeft.attacks.subject import model_digest
from robustpeft.auditing.plan import AuditPlan
from robustpeft.errors import UserError
from robustpeft.perturbations import PERTURBATIONS, Perturbation
from robustpeft.records import Seal
from robustpeft.types import THREATS, Axis, Classifier, Split, from_plain, imports_allowed, to_plain

__all__ = ["pixel_digest", "plan_of", "seal_audit", "smallest_counts"]

_AXES = (ATTACK_AXIS, Axis(Perturbation, PERTURBATIONS, "perturbation"))
_WITHOUT_INFLUENCE = ("batch_size", "gallery", "keep_images")
_SAID_BY_DATA = "images"  # which ones were chosen says more than how many at most
_COUNTED = "counted"  # in the place of true: before, what FMN found within a radius was no part of the worst case
_CLASS = re.compile(r"([A-Za-z_][\w.]*):")  # and whatever follows; a norm of ours with fields looks alike


def seal_audit(
    model: Classifier,
    split: Split,
    plan: AuditPlan,
    *,
    seed: int,
    classes: tuple[str, ...],
    image_size: tuple[int, int],
    siblings: Sequence[str] = (),
) -> Seal:
    """Return the seal of an audit: the same for the same values, on every machine and at every time.

    Left out are fields of the plan that have no influence on the result. Perturbations that the plan leaves to the
    image size are written out.

    Args:
        model: What is audited.
        split: The very images, the subset already taken.
        plan: The conditions.
        seed: Of all randomness.
        classes: Class names.
        image_size: Height and width of the images.
        siblings: Digests of the seals of the audits whose images are tried first: they stand where the plan has paths.

    Cost:
        Every image is read once more, and the model's tensors.
    """
    written_out = dataclasses.replace(
        plan, perturbations=plan.perturbations_for(image_size), corruptions=(), siblings=tuple(siblings)
    )
    plain = to_plain(written_out, _AXES)
    if plan.minimal_norms:
        plain["minimal_norms"] = _COUNTED
    return Seal(
        model=model_digest(model),
        data=split.digest,
        pixels=pixel_digest(split),
        images=len(split),
        image_size=image_size,
        classes=classes,
        seed=seed,
        plan={key: value for key, value in plain.items() if key not in (*_WITHOUT_INFLUENCE, _SAID_BY_DATA)},
        versions={"robustpeft": __version__, "torch": str(torch.__version__).partition("+")[0]},
    )


def pixel_digest(split: Split) -> str:
    """Return the SHA-256 over the pixels of all images in order, float32 and little endian."""
    digest = hashlib.sha256()
    for batch in split.batches(64):
        digest.update(np.ascontiguousarray(batch.images.cpu().float().numpy(), dtype="<f4").data)
    return digest.hexdigest()


def plan_of(seal: Seal, *, trust: bool = False) -> AuditPlan:
    """Return the plan that a seal describes.

    Args:
        seal: As a record holds it.
        trust: Import the modules of classes of others that it names; those imported already are welcome.

    Raises:
        UserError: If it describes none, or names classes of others without being trusted.
    """
    foreign = sorted(_foreign(seal.plan))
    if foreign and not trust:
        raise UserError(f"the sealed plan names {foreign[0]}, which is not part of robustpeft; trust would import it")
    plain = {**seal.plan, "minimal_norms": True} if smallest_counts(seal) else seal.plan
    with imports_allowed(trust):
        return from_plain(AuditPlan, plain, _AXES, "the sealed plan")


def smallest_counts(seal: Seal) -> bool:
    """Return whether it was sealed that what FMN finds within a radius is a measurement; earlier versions had none."""
    return seal.plan.get("minimal_norms") == _COUNTED


def _foreign(plain: Any) -> set[str]:
    """Return the names ``package.module:Class`` in plain data whose modules are not imported."""
    if isinstance(plain, Mapping | list | tuple):
        inner = plain.values() if isinstance(plain, Mapping) else plain
        return set[str]().union(*(_foreign(value) for value in inner))
    named = _CLASS.match(plain) if isinstance(plain, str) else None
    return {plain} if named and named[1] not in sys.modules and named[1] not in THREATS else set()
