"""What does a search in bfloat16 miss? A sample of what it left is attacked again in float32.

In lower precision a search may only miss: what it finds counts once the judge, in float32, confirms it. So its count of
images that hold is at least that of the same search in float32, and this says by how much, on a sample.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from robustpeft.attacks.findings import Findings
from robustpeft.errors import UserError
from robustpeft.types import Classifier, Split, derive_seed

if TYPE_CHECKING:
    from robustpeft.attacks.driver import Driver

__all__ = ["Missed", "search_again"]


@dataclass(frozen=True)
class Missed:
    """What the search in float32 broke of what the one in low precision had left, for each threat of the plan.

    Args:
        held: Images of the sample that held in low precision.
        broken: Those of them that float32 broke.
    """

    held: tuple[int, ...]
    broken: tuple[int, ...]


def search_again(driver: Driver, model: Classifier, split: Split, findings: Findings, images: int) -> Missed:
    """Attack a sample of the images that held once more in float32, with all that was tried on every image.

    Args:
        driver: The one that ran in low precision; its directory, if any, gets a ledger ``float32`` of its own.
        model: As it was given to the driver.
        split: Likewise.
        findings: What came of it.
        images: So many at most, at least 1, chosen by a hash of the plan's seed and the image's id among those that
            held under any threat.

    Cost:
        That of the plan on the sample.

    Raises:
        UserError: If no image is asked for; and as `Driver.run`.
    """
    if images < 1:
        raise UserError(f"a sample needs at least 1 image; got {images}")
    plan, ids = findings.plan, split.ids.tolist()
    if plan.narrow_images is not None:  # a search that most images were spared says nothing of precision
        plan = dataclasses.replace(plan, narrow=(), narrow_images=None)
    threats = range(len(plan.threats))
    held = {threat: _held(findings, ids, threat) for threat in threats}
    standing = [i for i, image in enumerate(ids) if any(bool(held[threat][i]) for threat in threats)]
    chosen = sorted(standing, key=lambda place: derive_seed(plan.seed, "float32", ids[place]))[:images]
    if not chosen:
        return Missed((0,) * len(threats), (0,) * len(threats))
    places = torch.tensor(sorted(chosen))
    directory = None if driver.directory is None else driver.directory / "float32"
    again = dataclasses.replace(
        driver, precision="float32", directory=directory, observer=None, on_found=None, on_end=None, candidates=()
    )
    found = again.run(model, split.subset(places), plan)
    sample = [ids[place] for place in places.tolist()]
    before = [held[threat][places] for threat in threats]
    after = [_held(found, sample, threat) for threat in threats]
    return Missed(
        tuple(int(b.sum()) for b in before),
        tuple(int((b & ~a).sum()) for b, a in zip(before, after, strict=True)),
    )


def _held(findings: Findings, ids: list[int], threat: int) -> Tensor:
    return findings.correct(ids, None, threat)
