"""Does an attack notice what it finds, and does it arrive? Watched call by call on a few images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robustpeft.attacks import PGD, margin
from robustpeft.auditing.checks.case import Case, Sample
from robustpeft.auditing.checks.question import Question
from robustpeft.records import Check
from robustpeft.types import Classifier, Threat

__all__ = ["watched_attack"]

_LAST = 10
_FLAT = 0.05  # of the whole way
_UNFINISHED = 0.5
_STEPS = 50

SILENT = Question(
    "no_silent_success",
    "The attack returns the adversarial images that it met",
    "strength",
    "Return the best point seen, not the last one.",
)
FINISHED = Question(
    "finished",
    "The attack's loss is level at its end",
    "strength",
    "Give the attack more steps, or a smaller step at the end.",
)
SAME = Question(
    "same_model",
    "What breaks the attacked copy breaks the model",
    "strength",
    "Attack the model that is judged: not a merged, compiled or rounded copy that answers otherwise.",
)


class _Watched:
    """A view that remembers the margins at every point it was asked about, and whether one within the threat fell."""

    def __init__(self, view: Classifier, sample: Sample, threat: Threat) -> None:
        self._view, self._sample, self._threat = view, sample, threat
        self.margins: list[Tensor] = []
        self.met = torch.zeros(len(sample), dtype=torch.bool, device=sample.labels.device)

    def __call__(self, points: Tensor, /) -> Tensor:
        """Return the logits; an attack asks about all images at once."""
        logits = self._view(points)
        with torch.no_grad():
            margins = margin(logits.detach().float(), self._sample.labels)
            sizes = self._threat.size(points.detach().double() - self._sample.images.double())
            self.met |= (margins > 0) & (sizes <= self._threat.epsilon * (1 + 1e-5) + 1e-7)
            self.margins.append(margins)
        return logits


def watched_attack(case: Case) -> Sequence[Check]:
    """Return whether PGD forgets nothing it met, has levelled off, and breaks the model that is judged.

    Cost:
        51 forwards and 50 backwards for every image of the sample that is right, and 1 forward.

    Source: Pintor et al. 2022, arXiv:2106.09947, Section 3: silent success, incomplete optimisation (the running best
    of the loss, rescaled to [0, 1], still moves by more than 0.05 in the last 10 steps), transfer failure. Ours takes
    the margin as loss, and says in doubt where more than half of the images that held are still moving.
    """
    right = (case.logits.argmax(dim=1) == case.sample.labels.cpu()).to(case.sample.labels.device)
    if case.threat is None or case.climber is None or not bool(right.any()):
        why = "No image is right." if case.climber else "No attack of the plan goes along gradients."
        return [question.skips(why) for question in (SILENT, FINISHED, SAME)]
    sample = Sample(case.sample.images[right], case.sample.labels[right], case.sample.ids[right])
    watched = _Watched(case.view, sample, case.threat)
    points = PGD(steps=_STEPS)(
        watched, sample.images, sample.labels, case.threat, seed=case.setting.seed, ids=sample.ids
    )
    met = watched.met.cpu()
    with torch.no_grad():
        returned = (margin(case.view(points).float(), sample.labels) > 0).cpu()
    judged = case.setting.judge(points, sample.labels).margins
    forgotten = int((met & ~returned).sum())
    silent = f"Of {int(met.sum())} images that PGD met broken on its way, {forgotten} were not returned."
    refuted = int((returned & (judged < -1e-3 * case.scale)).sum())
    same = f"Of {int(returned.sum())} images that break the attacked view, {refuted} do not break the model."
    moving, held = _moving(torch.stack(watched.margins).cpu(), ~met)
    finished = f"On {moving} of {held} images that held, the margin still grew in the last {_LAST} of {_STEPS} steps."
    return [
        SILENT.fails(silent) if forgotten else SILENT.passes(silent),
        FINISHED.warns(finished) if moving > _UNFINISHED * held else FINISHED.passes(finished),
        SAME.fails(same) if refuted else SAME.passes(same),
    ]


def _moving(margins: Tensor, held: Tensor) -> tuple[int, int]:
    """Return on how many of the images that held the running best still moved at the end, and how many held."""
    best = margins.cummax(dim=0).values[:, held]
    way = (best[-1] - best[0]).clamp_min(1e-12)
    late = (best[-1] - best[-_LAST - 1]) / way
    return int((late > _FLAT).sum()), int(held.sum())
