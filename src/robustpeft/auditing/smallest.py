"""How little is enough, image by image? The smallest perturbation that anything in the audit found."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from robustpeft.attacks import ATTACK_AXIS, FMN, Findings, minimal_norms
from robustpeft.auditing.measure import Outcome, Setting
from robustpeft.auditing.plan import AuditPlan
from robustpeft.records import MinimalSearch
from robustpeft.types import Classifier, to_plain

__all__ = ["Smallest", "find_smallest"]

_NORMS = ("linf", "l2")


@dataclass(frozen=True)
class Smallest:
    """What was found.

    Args:
        search: How it was looked for; None if it was not.
        sizes: By image id, the smallest norm at which the prediction was wrong: 0 where it is as it is. Images of which
            nothing was found are not there.
    """

    search: MinimalSearch | None = None
    sizes: dict[int, float] = field(default_factory=dict)


def find_smallest(
    model: Classifier, plan: AuditPlan, setting: Setting, clean: Outcome, findings: Findings | None
) -> Smallest:
    """Return for every image the smallest of what FMN found and what every attack of the audit did.

    Cost:
        102 forwards and 100 backwards for every image that is right as it is.
    """
    if not plan.minimal_norms or not plan.attacks or plan.norm not in _NORMS:
        return Smallest()
    start, search, threat = time.perf_counter(), FMN(), plan.threats[-1]
    sizes: dict[int, float] = {}
    place = attacked = 0
    for batch in setting.split.batches(setting.width, device=setting.device):
        right = clean.predictions[place : place + len(batch.labels)] == batch.labels.cpu()
        place += len(batch.labels)
        sizes |= dict.fromkeys(batch.ids.cpu()[~right].tolist(), 0.0)
        if right.any():
            here = right.to(batch.images.device)
            images, labels, ids = batch.images[here], batch.labels[here], batch.ids[here]
            found = minimal_norms(model, images, labels, threat, search, seed=setting.seed, ids=ids)
            sizes |= {i: s for i, s in zip(ids.tolist(), found.tolist(), strict=True) if math.isfinite(s)}
            attacked += len(images)
    for row in findings.rows.values() if findings is not None else ():
        if row.broken and row.norm > 0:
            sizes[row.image] = min(sizes.get(row.image, math.inf), row.norm)
    settings = {name: value for name, value in to_plain(search, (ATTACK_AXIS,)).items() if name != ATTACK_AXIS.tag}
    return Smallest(
        MinimalSearch(
            norm=threat.norm,
            name="fmn",
            settings=settings,
            forwards=(search.steps + 2) * attacked,
            backwards=search.steps * attacked,
            seconds=time.perf_counter() - start,
        ),
        sizes,
    )
