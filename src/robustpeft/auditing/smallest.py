"""How little is enough, image by image? The smallest perturbation that anything in the audit found."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robustpeft.attacks import ATTACK_AXIS, FMN, Findings
from robustpeft.attacks.minimal_norm import smallest_found
from robustpeft.auditing.conditions import Condition
from robustpeft.auditing.measure import Outcome, Setting
from robustpeft.auditing.plan import AuditPlan
from robustpeft.records import MinimalSearch
from robustpeft.types import Classifier, to_plain

__all__ = ["Smallest", "find_smallest", "minimal_conditions"]

_NORMS = ("linf", "l2")
_SEARCH = FMN()
_NOTE = "What the search for the smallest perturbation found within this radius; what it cost stands with it."


@dataclass(frozen=True)
class Smallest:
    """What was found.

    Args:
        search: How it was looked for; None if it was not.
        sizes: By image id, the smallest norm at which the prediction was wrong: 0 where it is as it is. Images of which
            nothing was found are not there.
        outcomes: By radius, what the model answers where the search found something within it that the judge confirms.
    """

    search: MinimalSearch | None = None
    sizes: dict[int, float] = field(default_factory=dict)
    outcomes: dict[Condition, Outcome] = field(default_factory=dict)


def minimal_conditions(plan: AuditPlan) -> tuple[Condition, ...]:
    """Return one condition for each radius, under which the search for the smallest perturbation is an attack too."""
    if not plan.minimal_norms or not plan.attacks or plan.norm not in _NORMS:
        return ()
    return tuple(Condition(f"minimal@{threat}".replace(" ", ":"), _SEARCH, threat) for threat in plan.threats)


def find_smallest(
    model: Classifier,
    plan: AuditPlan,
    setting: Setting,
    clean: Outcome,
    findings: Findings | None,
    on_found: Callable[[int, int, Tensor], None] | None = None,
) -> Smallest:
    """Return for every image the smallest of what FMN found and what every attack of the audit did.

    An adversarial image is one whoever found it: those that lie within a radius of the plan count there, once the judge
    has confirmed them.

    Args:
        model: Attacked through its frozen view.
        plan: Says whether it is wanted.
        setting: The images, and the judge.
        clean: What the model answers on them.
        findings: What every attack found.
        on_found: Called with the id of an image, the number of the smallest radius of the plan that holds what broke
            it, and that (3, h, w).

    Cost:
        104 forwards and 100 backwards for every image that is right as it is.
    """
    conditions = minimal_conditions(plan)
    if not conditions:
        return Smallest()
    start, search, threat = time.perf_counter(), _SEARCH, plan.threats[-1]
    within = _Within(plan, setting, clean)
    sizes: dict[int, float] = {}
    place = attacked = 0
    for batch in setting.split.batches(setting.width, device=setting.device):
        right = clean.predictions[place : place + len(batch.labels)] == batch.labels.cpu()
        place += len(batch.labels)
        sizes |= dict.fromkeys(batch.ids.cpu()[~right].tolist(), 0.0)
        if right.any():
            here = right.to(batch.images.device)
            images, labels, ids = batch.images[here], batch.labels[here], batch.ids[here]
            found = smallest_found(model, images, labels, threat, search, seed=setting.seed, ids=ids)
            sizes |= {i: s for i, s in zip(ids.tolist(), found.norms.tolist(), strict=True) if math.isfinite(s)}
            places = (place - len(batch.labels) + right.nonzero().flatten()).tolist()
            for points, there in ((found.points, found.norms <= threat.epsilon), (found.clearest, found.inside)):
                within.judge(places, images, points, there.cpu(), on_found)
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
            seconds=time.perf_counter() - start - within.seconds,
        ),
        sizes,
        within.outcomes(conditions),
    )


class _Within:
    """The predictions at every radius, as the judge confirms what was found within it."""

    def __init__(self, plan: AuditPlan, setting: Setting, clean: Outcome) -> None:
        self._threats, self._setting = plan.threats, setting
        self._predictions = [clean.predictions.clone() for _ in plan.threats]
        self._asked = [0 for _ in plan.threats]
        self.seconds = 0.0

    def judge(
        self,
        places: Sequence[int],
        images: Tensor,
        points: Tensor,
        there: Tensor,
        on_found: Callable[[int, int, Tensor], None] | None,
    ) -> None:
        """Ask about points, and keep what is confirmed for every radius that holds it.

        Args:
            places: Of the images in the split.
            images: Float (b, 3, h, w), clean.
            points: Likewise, as the search found them; brought into the ball and the box if rounding left them outside.
            there: Bool (b,): there is a point.
            on_found: As for `find_smallest`.
        """
        rows = there.nonzero().flatten().tolist()
        if not rows:
            return
        start = time.perf_counter()
        index = torch.tensor(rows, device=images.device)
        asked = self._threats[-1].within(images[index], points[index].float())
        labels = self._setting.split.labels[[places[row] for row in rows]]
        verdict = self._setting.judge(asked, labels)
        sizes = self._threats[-1].size(asked.double() - images[index].double()).tolist()
        self._asked[-1] += len(rows)
        for row, place in enumerate([places[row] for row in rows]):
            if int(verdict.predictions[row]) == int(labels[row]):
                continue
            gained = [
                number
                for number, (threat, predictions) in enumerate(zip(self._threats, self._predictions, strict=True))
                if sizes[row] <= threat.epsilon * (1 + 1e-5) and int(predictions[place]) == int(labels[row])
            ]
            for number in gained:
                self._predictions[number][place] = verdict.predictions[row]
            if on_found is not None and gained:
                on_found(int(self._setting.split.ids[place]), gained[0], asked[row])
        self.seconds += time.perf_counter() - start

    def outcomes(self, conditions: Sequence[Condition]) -> dict[Condition, Outcome]:
        """Return what came of it; what the judge was asked is counted at the largest radius, the search not again."""
        return {
            condition: Outcome(predictions, {}, asked, 0, self.seconds if asked else 0.0, note=_NOTE)
            for condition, predictions, asked in zip(conditions, self._predictions, self._asked, strict=True)
        }
